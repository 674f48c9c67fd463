"""Requests, from one dialect to the other."""
