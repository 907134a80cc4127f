"""Records on their way to where they are kept: chained, rotated, off the path of calls."""
