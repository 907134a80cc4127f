"""Sockets and HTTP/1.1: bytes in, exchanges out, and the way to upstreams; knows no MCP."""
