"""The audit: our own chain is written, everybody's are anchored, questions about them answered."""
