"""The gateway beside an agent: what it lets through, refuses and writes down."""
