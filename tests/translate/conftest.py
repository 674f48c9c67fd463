"""Property tests draw the same examples on every machine, so that CI never surprises."""

from hypothesis import settings

settings.register_profile(
    "steady", derandomize=True, database=None, deadline=None, max_examples=100
)
settings.load_profile("steady")
