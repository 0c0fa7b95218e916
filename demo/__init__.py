"""What `make demo` runs: sixty real models in a mesh of three instances, and the same traffic simulated."""
