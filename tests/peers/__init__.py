"""Peers: real servers and clients of other people's making, run as processes beside the gateway."""
