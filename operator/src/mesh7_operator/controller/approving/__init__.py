"""Held calls: looked at by namespace, shown to people, and settled by what they answered."""
