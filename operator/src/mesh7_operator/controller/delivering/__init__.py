"""Bundles and statuses, namespace by namespace: planned, applied, acknowledged by sidecars."""
