"""Held calls of a cluster: what people ask about them, by kubectl, as a `backend.Backend`."""
