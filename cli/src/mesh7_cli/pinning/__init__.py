"""Definitions of tools as a cluster knows them, and their acceptance."""
