"""Tokens and costs by day, model or client, from the relay's totals."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import add
from typing import Any

from addons.config import ClientKey
from addons.observe import flatten_row, utc_day
from addons.storage import COUNT_FIELDS, read_usage_rows

from ..errors import CommandFailed
from ..relay_client import request_json
from ..running_relay import RunningRelay
from ..tables import Column
from ..user_settings import load_user_settings

NO_PRICE = "–"
OWNER = "(you)"  # the client without a name
COLUMNS = (
    *(Column("exchanges", is_number=True), Column("failed", is_number=True)),
    *(Column("input", is_number=True), Column("cached", is_number=True)),
    *(Column("output", is_number=True), Column("cost", is_number=True)),
    Column("accounts", is_number=True),
)
LEGEND = (
    f"{NO_PRICE}: unknown price; ≥: without exchanges of unknown price; "
    "≈: what ChatGPT accounts' turns would have cost by the API"
)


class Grouping(StrEnum):
    DAY = "day"
    MODEL = "model"
    CLIENT = "client"


@dataclass(frozen=True)
class UsageSum:
    """The totals of one day, model or client."""

    group: str
    counts: Mapping[str, float]  # by the names of COUNT_FIELDS

    def to_json(self) -> dict[str, float]:
        """The counts, of which only costs have fractions."""
        amounts = ("cost", "notional")
        return {
            name: round(count, 6) if name in amounts else int(count)
            for name, count in self.counts.items()
        }

    def cells(self) -> list[str]:
        numbers = [f"{self.counts[name]:,.0f}" for name in ("exchanges", "failed")]
        numbers += [f"{self.counts[name]:,.0f}" for name in ("input", "cached", "output")]
        notional = self.counts["notional"]
        return [self.group, *numbers, cost_text(self.counts), notional_text(notional)]


def cost_text(counts: Mapping[str, float]) -> str:
    """As on the dashboard: ≥ for a sum that lacks exchanges of unknown price."""
    if not counts["unpriced"]:
        return dollar_text(counts["cost"])
    return f"≥ {dollar_text(counts['cost'])}" if counts["cost"] else NO_PRICE


def notional_text(notional: float) -> str:
    return f"≈ {dollar_text(notional)}" if notional else ""


def dollar_text(value: float) -> str:
    if value == 0:
        return "$0"
    if value < 0.0001:
        return "<$0.0001"
    return f"${value:.2g}" if value < 1 else f"${value:,.2f}"


def sum_usage(groups: Iterable[tuple[str, Iterable[float]]]) -> list[UsageSum]:
    """One sum for each group, in the order of their names."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(COUNT_FIELDS))
    for group, counts in groups:
        sums[group] = list(map(add, sums[group], counts))
    return [
        UsageSum(group, dict(zip(COUNT_FIELDS, counts, strict=True)))
        for group, counts in sorted(sums.items())
    ]


def usage_sums(relay: RunningRelay | None, grouping: Grouping, days: int) -> list[UsageSum]:
    """The sums of the last days, today included. Raises CommandFailed."""
    first_day = utc_day(days - 1)
    if grouping is Grouping.CLIENT:
        return sum_usage(
            (name, counts)
            for name, table in client_tables(relay).items()
            for day, _, _, *counts in table
            if day >= first_day
        )
    rows = relay_rows(relay) if relay else stored_rows(first_day)
    return sum_usage(
        (day if grouping is Grouping.DAY else f"{provider}/{model}", counts)
        for day, provider, model, *counts in rows
        if day >= first_day
    )


def stored_rows(first_day: str) -> list[list[Any]]:
    """The rows that earlier relays have stored."""
    user = load_user_settings()
    try:
        rows = read_usage_rows(user.settings, first_day)
    except OSError as error:
        raise CommandFailed(f"the totals cannot be read: {error}", "check relay_store") from None
    return [flatten_row(row) for row in rows]


def relay_rows(relay: RunningRelay, key: str = "") -> list[list[Any]]:
    """The rows that the running relay shows for this client key, by default the owner's."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    totals = request_json(relay, "GET", "/relay/data", headers=headers)["totals"]
    if "error" in totals:
        raise CommandFailed(str(totals["error"]), "check relay_store")
    rows: list[list[Any]] = totals["rows"]
    return rows


def client_tables(relay: RunningRelay | None) -> dict[str, list[list[Any]]]:
    """Client → its rows since the relay's start, which only that relay knows."""
    if relay is None:
        raise CommandFailed(
            "only a running relay knows who used it, and none runs",
            "start it with `mitmcodex up --detach`, or use --by day or --by model",
        )
    keys: tuple[ClientKey, ...] = load_user_settings().settings.client_key
    if not keys:
        return {OWNER: relay_rows(relay)}
    # The admin's key shows everybody's; the others their own.
    named = [key for key in keys if key.name not in ("", "admin")]
    return {key.name: relay_rows(relay, key.secret.get_secret_value()) for key in named}
