"""Who may talk to the relay, and what is done with each request."""
