"""The informer: what the API server lists and tells, held by namespace with what we wrote since."""
