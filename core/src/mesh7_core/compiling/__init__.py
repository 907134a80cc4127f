"""From what people write to what is judged: the compiler, its diagnostics, policy cases."""
