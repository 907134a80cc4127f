"""What others see of a running gateway: its spans and its metrics."""
