"""Options: what there are, where they come from, what they mean."""
