"""What is wrong with a mesh, or will be: checks, what each finds, and what to do about it."""
