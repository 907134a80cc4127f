"""What is judged: frozen values, conditions and the judge. Pure: no clock, no network."""
