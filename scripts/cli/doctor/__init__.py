"""Looks for what keeps Codex and the relay from working, and names the cure."""
