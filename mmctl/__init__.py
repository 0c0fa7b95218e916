"""The command line: the hand on meshes, on this machine and elsewhere, and on the simulator."""
