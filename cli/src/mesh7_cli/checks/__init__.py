"""Whether mesh7 can be installed, and whether it works: one question after the other."""
