"""One module for each command: its arguments, what it prints, and nothing that another needs."""
