"""What the relay answers itself, on its own port and for Codex."""
