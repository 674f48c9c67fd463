"""What a running relay has done since its start, for `mitmcodex status`."""

from collections import Counter
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from ..relay_client import send_request
from ..running_relay import RunningRelay
from .account_list import Account, list_accounts

EXCHANGES = "codex_relay_exchanges_total"  # the metric
UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True)
class RelayActivity:
    uptime: float  # s
    exchanges: dict[str, int]  # status → how many have ended with it
    accounts: list[Account]

    @property
    def duration_text(self) -> str:
        """`2 h 5 min`: in the two largest units."""
        parts, rest = list[str](), int(self.uptime)
        for unit, seconds in UNITS:
            count, rest = divmod(rest, seconds)
            if count or parts:
                parts.append(f"{count} {unit}")
        return " ".join(parts[:2]) or "0 s"

    @property
    def exchanges_text(self) -> str:
        """`12 exchanges (11 completed, 1 failed)`"""
        total = sum(self.exchanges.values())
        parts = ", ".join(f"{count} {status}" for status, count in sorted(self.exchanges.items()))
        return f"{total} exchange{'s' * (total != 1)}" + (f" ({parts})" if total else "")


def read_activity(relay: RunningRelay) -> RelayActivity:
    """Raises CommandFailed if the relay does not tell."""
    return RelayActivity(
        uptime=relay.health["uptime"],
        exchanges=count_exchanges(send_request(relay, "GET", "/metrics").text),
        accounts=list_accounts(relay),
    )


def count_exchanges(metrics: str) -> dict[str, int]:
    """Status → how many exchanges have ended with it."""
    counts = Counter[str]()
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == EXCHANGES:
                counts[sample.labels["status"]] += int(sample.value)
    return dict(counts)
