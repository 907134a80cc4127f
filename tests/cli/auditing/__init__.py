"""Tests of the audit as a laptop reads it."""
