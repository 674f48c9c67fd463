"""What mitmcodex has left on this machine, and its removal."""
