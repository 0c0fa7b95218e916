"""How far the simulator is from the live mesh: the same recorded requests, live and simulated."""
