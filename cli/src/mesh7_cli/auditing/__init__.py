"""The audit files of a state folder as people ask them: found by an index, read from the files."""
