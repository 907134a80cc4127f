"""Sockets and HTTP/1.1, spoken to byte by byte."""
