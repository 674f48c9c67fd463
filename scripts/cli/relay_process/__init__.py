"""Starts the relay of `mitmcodex up`, ends it, and reads its log."""
