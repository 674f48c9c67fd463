"""The differences between providers, as data."""
