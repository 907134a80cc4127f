"""Tests: mirror the sources; requirements, architecture, fakes and golden files stand beside."""
