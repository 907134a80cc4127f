"""Servers and clients of other people's making around the real gateway, unmodified."""
