"""The wire formats: JSON, server-sent events, envelopes, errors and requests."""
