"""The latest exchanges as rows of the page, and the health of each provider in them."""

from collections import deque
from collections.abc import Iterable
from statistics import median
from typing import Any, NamedTuple

from addons.observe import FELL_BACK, ExchangeCost, ExchangeRecord
from translate import printable

MAX_EXCHANGES = 200
MAX_OUTCOMES = 50  # of a provider
MAX_PROVIDERS = 64
MAX_TEXT_LENGTH, MAX_LIST_LENGTH = 300, 40

type Json = dict[str, Any]

# The field of a row → the field of the exchange's record.
NUMBER_FIELDS = {
    "input": "input_tokens",
    "cached": "cached_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
    "ttft": "first_token",
    "seconds": "seconds",
    "speed": "tokens_per_second",
    "calls": "calls",
}
TEXT_FIELDS = {
    "asked": "asked",
    "model": "model",
    "provider": "provider",
    "client": "client",
    "account": "account",
    "error": "error",
    "reason": "reason",
}


class ProviderOutcome(NamedTuple):
    """How one exchange with a provider ended."""

    succeeded: bool
    error_or_status: str  # the error, or else the status
    ttft: float | None  # s


def exchange_row(id: str, record: ExchangeRecord, client_gone: bool) -> Json:
    """The row of an exchange; `client_gone`: the client disconnected before the end."""
    cancelled = client_gone and record["status"] == "failed"
    return {
        "id": id,
        "at": record["at"],
        "outcome": "cancelled" if cancelled else record["status"],
        **{name: shorten_text(record[field]) for name, field in TEXT_FIELDS.items()},
        **{name: record[field] for name, field in NUMBER_FIELDS.items()},
        "estimated": record["estimated"],
        "dropped": [shorten_text(text) for text in record["dropped"][:MAX_LIST_LENGTH]],
        "notes": [shorten_text(text) for text in record["notes"][:MAX_LIST_LENGTH]],
        "cost": None,
        "notional": False,
    }


def shorten_text(text: Any) -> str | None:
    return None if text is None else printable(str(text), MAX_TEXT_LENGTH)


class RecentExchanges:
    """The latest rows and outcomes; the oldest rows and least recent providers are forgotten."""

    def __init__(self) -> None:
        self._rows: dict[str, Json] = {}
        self._outcomes: dict[str, deque[ProviderOutcome]] = {}

    def add_record(self, id: str, record: ExchangeRecord, client_gone: bool) -> Json:
        """The exchange's row, new or in place of an earlier one."""
        row = exchange_row(id, record, client_gone)
        if record["status"] == FELL_BACK:  # this provider failed; the exchange goes on with another
            self._add_outcome(record)
            row["outcome"] = "in_progress"
        elif row["outcome"] not in ("in_progress", "cancelled"):
            self._add_outcome(record)
        self._rows[id] = row
        while len(self._rows) > MAX_EXCHANGES:
            del self._rows[next(iter(self._rows))]
        return row

    def add_cost(self, id: str, cost: ExchangeCost | None) -> Json | None:
        """The row with its cost; None if the row has been forgotten."""
        row = self._rows.get(id)
        if row and cost:
            row |= {"cost": cost.dollars, "notional": cost.notional}
        return row

    def newest_rows(self) -> list[Json]:
        """All rows, newest first."""
        return sorted(self._rows.values(), key=lambda row: -row["at"])

    def _add_outcome(self, record: ExchangeRecord) -> None:
        provider = record["provider"]
        outcomes = self._outcomes.pop(provider, None) or deque(maxlen=MAX_OUTCOMES)
        self._outcomes[provider] = outcomes  # at the end, as the one used last
        succeeded = record["status"] in ("completed", "incomplete")
        text = printable(str(record["error"] or record["status"]), MAX_TEXT_LENGTH)
        outcomes.append(ProviderOutcome(succeeded, text, record["first_token"]))
        while len(self._outcomes) > MAX_PROVIDERS:
            del self._outcomes[next(iter(self._outcomes))]

    def provider_names(self) -> list[str]:
        """The providers of these exchanges, in the order of the alphabet."""
        return sorted(self._outcomes)

    def provider_health(self, provider: str) -> Json:
        """Of its latest exchanges: how many there were, how many failed, how the last one ended,
        and the median time to the first token in seconds."""
        outcomes = self._outcomes.get(provider, ())
        last = outcomes[-1] if outcomes else None
        return {
            "exchanges": len(outcomes),
            "failed": sum(not outcome.succeeded for outcome in outcomes),
            "last": last and ("ok" if last.succeeded else last.error_or_status),
            "ttft": median_of(outcome.ttft for outcome in outcomes),
        }


def median_of(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return round(median(numbers), 4) if numbers else None
