"""The exchange: a pod's token for its namespace's Redis credentials."""
