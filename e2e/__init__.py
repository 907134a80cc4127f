"""Tests on a real Kubernetes API server; docs/developer/test-cluster.md."""
