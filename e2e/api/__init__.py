"""What holds on a real API server."""
