"""Codex's config.toml: the relay's lines go in, and come out again exactly."""
