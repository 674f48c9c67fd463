"""The last exchanges as the page shows them, and how the providers did in them."""

from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import Any

from addons.observe.exchange_record import LEFT, Facts
from addons.observe.prices import Cost

KEPT = 200  # exchanges
LAST = 50  # outcomes of a provider
PROVIDERS = 64
LONG, MANY = 300, 40  # characters of a text, entries of a list

type Json = dict[str, Any]

# What the page calls a fact, and the fact.
NUMBERS = {
    "input": "input_tokens",
    "cached": "cached_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "ttft": "first_token",
    "seconds": "seconds",
    "speed": "tokens_per_second",
    "calls": "calls",
}
TEXTS = {
    "asked": "asked",
    "model": "model",
    "provider": "provider",
    "client": "client",
    "account": "account",
    "error": "error",
    "reason": "reason",
}


def entry(id: str, told: Facts, left: bool) -> Json:
    """One row; `left`: the client went away before the end."""
    return {
        "id": id,
        "at": told["at"],
        "outcome": "cancelled" if left and told["status"] == "failed" else told["status"],
        **{name: short(told[fact]) for name, fact in TEXTS.items()},
        **{name: told[fact] for name, fact in NUMBERS.items()},
        "estimated": told["estimated"],
        "dropped": [short(one) for one in told["dropped"][:MANY]],
        "notes": [short(one) for one in told["notes"][:MANY]],
        "cost": None,
        "notional": False,
    }


def short(text: Any) -> str | None:
    return None if text is None else str(text)[:LONG]


class Feed:
    """Bounded: the oldest rows and the providers of long ago go."""

    def __init__(self) -> None:
        self._rows: dict[str, Json] = {}
        self._outcomes: dict[str, deque[tuple[bool, str, float | None]]] = {}

    def put(self, id: str, told: Facts, left: bool) -> Json:
        row = entry(id, told, left)
        if told["status"] not in ("in_progress", LEFT) and row["outcome"] != "cancelled":
            self._count(told)
        elif told["status"] == LEFT:
            self._count(told)
            row["outcome"] = "in_progress"
        self._rows[id] = row
        while len(self._rows) > KEPT:
            del self._rows[next(iter(self._rows))]
        return row

    def price(self, id: str, cost: Cost | None) -> Json | None:
        """The row with its cost, if it is still there."""
        row = self._rows.get(id)
        if row and cost:
            row |= {"cost": cost.dollars, "notional": cost.notional}
        return row

    def rows(self) -> list[Json]:
        """Newest first."""
        return sorted(self._rows.values(), key=lambda row: -row["at"])

    def _count(self, told: Facts) -> None:
        outcomes = self._outcomes.setdefault(told["provider"], deque(maxlen=LAST))
        good = told["status"] in ("completed", "incomplete")
        outcomes.append((good, str(told["error"] or told["status"])[:LONG], told["first_token"]))
        while len(self._outcomes) > PROVIDERS:
            del self._outcomes[next(iter(self._outcomes))]

    def met(self) -> list[str]:
        """The providers that were asked lately."""
        return list(self._outcomes)

    def health(self, provider: str) -> Json:
        """Of its last exchanges: how many there were and failed, the last one, the median TTFT."""
        outcomes = self._outcomes.get(provider, ())
        return {
            "exchanges": len(outcomes),
            "failed": sum(not good for good, _, _ in outcomes),
            "last": None if not outcomes else ("ok" if outcomes[-1][0] else outcomes[-1][1]),
            "ttft": middle(first for _, _, first in outcomes),
        }


def middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 4) if known else None
