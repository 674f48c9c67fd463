"""Which known name a misspelt one may mean."""

from collections.abc import Iterable
from difflib import get_close_matches

LEAST_SIMILARITY = 0.75  # of 1.0


def did_you_mean(name: str, known_names: Iterable[str]) -> str:
    """`did you mean model?` for the most similar known name; "" if none is similar."""
    similar = get_close_matches(name, sorted(known_names), 1, LEAST_SIMILARITY)
    return f"did you mean {similar[0]}?" if similar else ""
