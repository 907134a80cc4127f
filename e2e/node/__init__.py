"""What holds on a real node."""
