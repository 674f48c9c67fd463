"""What a conversation carries from turn to turn."""
