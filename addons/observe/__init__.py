"""What is recorded of each exchange."""
