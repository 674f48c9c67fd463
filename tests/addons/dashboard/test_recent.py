"""The latest exchanges, bounded, and how each provider did."""

import json
from typing import Any

from addons.dashboard.recent import MAX_EXCHANGES, MAX_PROVIDERS, RecentExchanges
from addons.observe.exchange_record import FELL_BACK
from addons.observe.usage_totals import ExchangeCost


def record_with(**fields: Any) -> dict[str, Any]:
    default_record: dict[str, Any] = {
        **{"at": 1.0, "asked": "m", "model": "m", "provider": "p", "client": None},
        **{"account": None, "status": "completed", "error": None, "reason": None},
        **{"dropped": [], "notes": [], "input_tokens": 1, "cached_tokens": 0, "calls": 0},
        **{"output_tokens": 1, "reasoning_tokens": 0, "estimated": False, "first_token": 0.5},
        **{"seconds": 1.0, "tokens_per_second": None},
    }
    return {**default_record, **fields}


def test_rows_texts_and_lists_are_bounded() -> None:
    recent = RecentExchanges()
    long_texts = ["d" * 1000] * 1000
    for number in range(MAX_EXCHANGES + 50):
        record = record_with(
            at=float(number), provider=f"p{number}", dropped=long_texts, error="e" * 9999
        )
        recent.add_record(f"flow-{number}", record, client_gone=False)
    rows = recent.newest_rows()
    assert rows[0]["id"] == f"flow-{MAX_EXCHANGES + 49}"
    assert rows[1]["id"] == f"flow-{MAX_EXCHANGES + 48}"
    assert len(rows) == MAX_EXCHANGES
    assert max(len(json.dumps(row)) for row in rows) < 20_000
    assert recent.add_cost("flow-0", ExchangeCost(1.0, False)) is None
    row_with_cost = recent.add_cost(f"flow-{MAX_EXCHANGES}", ExchangeCost(1.0, True))
    assert row_with_cost and (row_with_cost["cost"], row_with_cost["notional"]) == (1.0, True)


def test_provider_in_use_is_not_forgotten_for_its_age() -> None:
    recent = RecentExchanges()
    for number in range(MAX_PROVIDERS):
        recent.add_record(f"first-{number}", record_with(provider=f"p{number}"), False)
    recent.add_record("again", record_with(provider="p0"), False)
    recent.add_record("new", record_with(provider="new"), False)
    names = recent.provider_names()
    assert len(names) == MAX_PROVIDERS
    assert "p0" in names and "p1" not in names


def test_health_counts_failures_of_the_provider_and_not_of_clients() -> None:
    recent = RecentExchanges()
    assert recent.provider_health("p") == {"exchanges": 0, "failed": 0, "last": None, "ttft": None}
    recent.add_record("1", record_with(status="in_progress"), False)
    recent.add_record(
        "1", record_with(status=FELL_BACK, error="status 503", first_token=None), False
    )
    assert recent.newest_rows()[0]["outcome"] == "in_progress"  # with another provider
    assert recent.provider_health("p")["last"] == "status 503"
    recent.add_record("1", record_with(provider="q"), False)
    recent.add_record("2", record_with(first_token=0.1), False)
    recent.add_record("3", record_with(status="failed"), True)
    assert recent.newest_rows()[0]["outcome"] in ("completed", "cancelled")
    assert recent.provider_health("p") == {"exchanges": 2, "failed": 1, "last": "ok", "ttft": 0.1}
    assert recent.provider_health("q")["failed"] == 0
