import pytest

from scripts.cli.listings.relay_activity import RelayActivity, count_exchanges

METRICS = """\
# HELP codex_relay_exchanges_total Exchanges that have ended.
# TYPE codex_relay_exchanges_total counter
codex_relay_exchanges_total{client="",model="a",provider="x",status="completed"} 3.0
codex_relay_exchanges_total{client="",model="b",provider="x",status="completed"} 4.0
codex_relay_exchanges_total{client="",model="b",provider="x",status="failed"} 1.0
"""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (125, "2 min 5 s"), (7200, "2 h 0 min"), (90_061, "1 d 1 h")],
)
def test_duration_has_two_units(seconds: float, text: str) -> None:
    assert RelayActivity(seconds, {}, []).duration_text == text


def test_exchanges_are_counted_by_status() -> None:
    counts = count_exchanges(METRICS)
    assert counts == {"completed": 7, "failed": 1}
    assert RelayActivity(0, counts, []).exchanges_text == "8 exchanges (7 completed, 1 failed)"
    assert RelayActivity(0, {"failed": 1}, []).exchanges_text == "1 exchange (1 failed)"
    assert RelayActivity(0, count_exchanges(""), []).exchanges_text == "0 exchanges"
