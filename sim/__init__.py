"""The simulator: plays the rules of meshcore in simulated time."""
