"""``mmctl top``: the mesh on a whole screen, kept up to date."""
