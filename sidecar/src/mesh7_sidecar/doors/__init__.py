"""Ways in: what each URL means."""
