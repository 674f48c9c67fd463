"""What is read and written on the wire: JSON, server-sent events, envelopes, errors, requests."""
