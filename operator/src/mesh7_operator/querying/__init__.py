"""Questions about the audit of a namespace go in, statuses come out."""
