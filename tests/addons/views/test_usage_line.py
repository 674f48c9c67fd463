"""The usage and the record of an exchange in a line or two."""

import pytest

from addons.views.usage_line import record_lines, token_usage
from tests.translate.support import Json


@pytest.mark.parametrize(
    ("usage", "text"),
    [
        (None, ""),
        ({}, ""),
        ({"prompt_tokens": 5}, "5 in · 0 out"),
        ({"input_tokens": 0, "output_tokens": 3}, "0 in · 3 out"),
        (
            {"prompt_tokens": 12300, "completion_tokens": 412,
             "prompt_tokens_details": {"cached_tokens": 9800},
             "completion_tokens_details": {"reasoning_tokens": 120}},
            "12.3k in (9.8k cached) · 412 out (120 of them reasoning)",
        ),
        (
            {"input_tokens": 10, "output_tokens": 5,
             "input_tokens_details": {"cached_tokens": 4},
             "output_tokens_details": {"reasoning_tokens": 2}},
            "10 in (4 cached) · 5 out (2 of them reasoning)",
        ),
        ({"input_tokens": "many", "prompt_tokens_details": 3}, ""),
    ],
)  # fmt: skip
def test_usage_of_both_dialects(usage: Json | None, text: str) -> None:
    assert token_usage(usage) == text


def test_record_in_a_few_lines() -> None:
    record = {
        "first_byte": 0.5,
        "seconds": 2,
        "estimated": True,
        "error": "upstream",
        "reason": "a\nb",
        "dropped": ["seed", "n"],
        "notes": ["retried"],
    }
    assert list(record_lines(record)) == [
        "first byte 0.50 s · 2.00 s in all",
        "usage: estimated by the relay, as the provider sent none",
        "error: upstream",
        "reason: a⏎b",
        "dropped: seed, n",
        "note: retried",
    ]
    assert list(record_lines({})) == []
