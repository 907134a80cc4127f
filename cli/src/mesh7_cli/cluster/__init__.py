"""The cluster as a person reaches it: by their own `kubectl`, with their own rights."""
