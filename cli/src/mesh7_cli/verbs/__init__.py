"""What people's verbs print and decide, whoever is behind them; commands only read options."""
