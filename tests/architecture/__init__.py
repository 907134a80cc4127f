"""What the code may look like: imports, sizes, words, machine paths."""
