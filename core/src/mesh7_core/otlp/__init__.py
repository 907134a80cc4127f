"""Spans, metrics and logs sent over OTLP/HTTP, off the path of whatever made them."""
