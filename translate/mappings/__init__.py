"""Mappings of parts of requests and replies; each file has both directions."""
