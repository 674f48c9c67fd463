"""Sums of usage, and their texts as on the dashboard."""

import pytest

from addons.storage import COUNT_FIELDS
from scripts.cli.listings.usage_report import cost_text, dollar_text, sum_usage

COUNTS = (1.0, 0.0, 1000.0, 10.0, 5.0, 2.0, 0.5, 0.0, 0.0)


def test_counts_of_a_group_add_up() -> None:
    first, second = sum_usage([("b", COUNTS), ("a", COUNTS), ("b", COUNTS)])
    assert (first.group, second.group) == ("a", "b")
    assert second.counts == dict(zip(COUNT_FIELDS, (2 * count for count in COUNTS), strict=True))
    assert second.cells() == ["b", "2", "0", "2,000", "20", "10", "$1.00", ""]
    assert second.to_json()["exchanges"] == 2 and second.to_json()["cost"] == 1.0


@pytest.mark.parametrize(
    ("cost", "unpriced", "text"),
    [(0.0, 0, "$0"), (1.5, 0, "$1.50"), (1.5, 2, "≥ $1.50"), (0.0, 2, "–")],
)
def test_unknown_prices_are_marked(cost: float, unpriced: int, text: str) -> None:
    assert cost_text({"cost": cost, "unpriced": unpriced}) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "$0"), (0.00001, "<$0.0001"), (0.0123, "$0.012"), (1234.5, "$1,234.50")],
)
def test_dollars_are_short(value: float, text: str) -> None:
    assert dollar_text(value) == text
