"""Which provider, model and account serve a request."""
