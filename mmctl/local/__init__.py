"""A mesh on this machine: its processes, their ports and what is kept of them between commands."""
