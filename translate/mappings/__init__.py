"""Parts of requests and replies, both ways in one file."""
