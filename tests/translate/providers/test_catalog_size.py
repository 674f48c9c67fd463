"""Catalogs below the size that Codex reads."""

import json
from typing import Any

import pytest

from translate.providers.catalog import CatalogModel, models_to_codex
from translate.providers.catalog_size import (
    STRICT_LIMIT,
    USUAL_LIMIT,
    catalog_limit,
    fit_codex_models,
    json_size,
)

LONG, SHORT = "long " * 200, "short"
TEMPLATE = {"base_instructions": LONG, "truncation_policy": {"mode": "tokens", "limit": 1}}
MODELS = [CatalogModel(f"m{number}", has_tools=number != 1) for number in range(4)]
ENTRIES: list[dict[str, Any]] = models_to_codex(MODELS, TEMPLATE, owner="P")["models"]
LONG_SIZE = json_size(ENTRIES[0])
SHORT_SIZE = json_size({**ENTRIES[0], "base_instructions": SHORT})


def fit(limit: int, short: str = SHORT) -> list[tuple[str, str]]:
    """Name and instructions of each entry."""
    fitting = fit_codex_models(ENTRIES, MODELS, TEMPLATE, short, limit)
    assert len(json.dumps(fitting)) <= limit
    return [(entry["slug"], entry["base_instructions"]) for entry in fitting]


def test_catalog_that_fits_is_not_changed() -> None:
    assert fit(4 * LONG_SIZE) == [(f"m{number}", LONG) for number in range(4)]


def test_last_entries_are_shortened_first() -> None:
    limit = 2 * LONG_SIZE + 2 * SHORT_SIZE
    assert [text for _, text in fit(limit)] == [LONG, LONG, SHORT, SHORT]


def test_models_without_tools_are_left_out_first_and_then_the_last() -> None:
    assert fit(3 * SHORT_SIZE) == [("m0", SHORT), ("m2", SHORT), ("m3", SHORT)]
    assert fit(2 * SHORT_SIZE) == [("m0", SHORT), ("m2", SHORT)]
    assert fit(10) == []


def test_other_instructions_and_shorter_ones_stay() -> None:
    assert fit(2 * LONG_SIZE, short=LONG + "!") == [("m0", LONG), ("m2", LONG)]
    entries = [{**ENTRIES[0], "base_instructions": "my own, " * 100}]
    assert fit_codex_models(entries, MODELS, TEMPLATE, SHORT, LONG_SIZE) == entries


@pytest.mark.parametrize(
    ("version", "limit"),
    [
        ("0.163.0", STRICT_LIMIT),
        ("0.168.9", STRICT_LIMIT),
        ("0.169.0", USUAL_LIMIT),
        ("1.2.0-alpha.1", USUAL_LIMIT),
        ("", STRICT_LIMIT),
        ("new", STRICT_LIMIT),
    ],
)
def test_limit_depends_on_the_version(version: str, limit: int) -> None:
    assert catalog_limit(version) == limit
