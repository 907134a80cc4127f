"""The core of mesh7: what people write, what it means, and what is judged by it."""
