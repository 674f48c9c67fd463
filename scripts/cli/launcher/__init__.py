"""Codex and other programs, run through the relay."""
