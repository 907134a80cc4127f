"""A pod in, a guarded pod out: what the injector does, and `kubectl mesh7 inject` before it."""
