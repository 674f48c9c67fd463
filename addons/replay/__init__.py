"""Exchanges again: sent, translated, checked, exported."""
