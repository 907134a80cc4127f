"""Commands of `kubectl mesh7`, one module each; imported when they are asked for."""
