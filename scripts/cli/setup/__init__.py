"""The first steps of a new user: provider, key, model, and how Codex comes."""
