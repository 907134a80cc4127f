"""Records of what happened: as lines, in a chain that shows what was done to it, and read back."""
