"""The API server: a thin client, the Lease, the Secrets that are ours."""
