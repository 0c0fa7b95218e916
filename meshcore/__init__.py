"""The rules of the mesh: pure functions and state, no I/O, no clock, no randomness of their own."""
