"""Rolling a new version through a mesh: what is known of an upgrade, what comes next, and who carries it out."""
