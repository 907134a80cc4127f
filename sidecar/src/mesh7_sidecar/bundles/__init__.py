"""Where the bundle in force comes from."""
