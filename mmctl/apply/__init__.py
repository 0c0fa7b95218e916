"""Registrations as files: what they would change, having it so, and writing them down."""
