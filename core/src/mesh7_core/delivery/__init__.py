"""What is delivered to sidecars: signed, numbered, verified (pure)."""
