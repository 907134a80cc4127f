"""The end of an installation: what mesh7's programs made is removed, wherever it lies."""
