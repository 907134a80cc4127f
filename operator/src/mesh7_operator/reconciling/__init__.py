"""The pure part: a world goes in, a plan comes out."""
