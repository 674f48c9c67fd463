"""What commands list and count: accounts, models, usage, a relay's work, exchanges of a capture."""
