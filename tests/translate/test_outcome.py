"""Finish reasons and usage in the words of many providers."""

from typing import Any

import pytest

from tests.translate.support import Json, chunk, output, replied
from translate.outcome import (
    COMPLETED,
    FAILED,
    FILTERED,
    TOO_LONG,
    Outcome,
    outcome,
    usage_in,
    usage_to_responses,
)


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("stop", COMPLETED), ("tool_calls", COMPLETED), ("function_call", COMPLETED),
        ("eos", COMPLETED), ("STOP", COMPLETED), ("length", TOO_LONG), ("MAX_TOKENS", TOO_LONG),
        ("model_length", TOO_LONG), ("content_filter", FILTERED), ("SAFETY", FILTERED),
        ("sensitive", FILTERED), ("error", FAILED), ("network_error", FAILED), ("abort", FAILED),
    ],
)  # fmt: skip
def test_finish_reason_decides_the_outcome(reason: str, end: Outcome) -> None:
    assert outcome(reason) is end
    last = replied(chunk(content="Hi."), chunk(reason))[-1]
    assert last["type"] == f"response.{end.status}"
    details = last["response"]["incomplete_details"]
    assert details == ({"reason": end.reason} if end.reason else None)


@pytest.mark.parametrize("finish", [None, ""])
def test_finish_reason_that_says_nothing_is_none(finish: str | None) -> None:
    assert replied(chunk(finish, content="Hi."), done=False)[-1]["type"] == "response.failed"


def counted(usage: Json) -> tuple[int, int, int, int, int]:
    made = usage_to_responses(usage)
    return (
        made["input_tokens"],
        made["input_tokens_details"]["cached_tokens"],
        made["output_tokens"],
        made["output_tokens_details"]["reasoning_tokens"],
        made["total_tokens"],
    )


BASE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (BASE, (10, 0, 4, 0, 14)),
        (BASE | {"prompt_tokens_details": {"cached_tokens": 8}}, (10, 8, 4, 0, 14)),
        (BASE | {"prompt_cache_hit_tokens": 8}, (10, 8, 4, 0, 14)),  # DeepSeek
        (BASE | {"cached_tokens": 8}, (10, 8, 4, 0, 14)),  # Kimi
        (BASE | {"completion_tokens_details": {"reasoning_tokens": 3}}, (10, 0, 4, 3, 14)),
        (BASE | {"reasoning_tokens": 3}, (10, 0, 4, 3, 14)),
        (BASE | {"prompt_tokens_details": None}, (10, 0, 4, 0, 14)),
        (BASE | {"total_tokens": None}, (10, 0, 4, 0, 14)),
        ({"prompt_tokens": 10}, (10, 0, 0, 0, 10)),
        ({"prompt_tokens": 10.0, "completion_tokens": -1}, (10, 0, 0, 0, 10)),
        ({"prompt_tokens": "10", "completion_tokens": True}, (0, 0, 1, 0, 1)),
    ],
)
def test_usage_is_read_where_providers_put_it(usage: Json, counts: tuple[int, ...]) -> None:
    assert counted(usage) == counts


def test_cache_writes_are_kept() -> None:
    made = usage_to_responses(BASE | {"prompt_tokens_details": {"cache_write_tokens": 5}})
    assert made["input_tokens_details"]["cache_write_tokens"] == 5


@pytest.mark.parametrize(
    "place",
    [
        {"usage": BASE}, {"choices": [{"usage": BASE}]}, {"x_groq": {"usage": BASE}},
        {"usage": None, "choices": [{"usage": BASE}]},
    ],
)  # fmt: skip
def test_usage_is_found(place: Json) -> None:
    assert usage_in(place) == BASE


@pytest.mark.parametrize(
    "place", [{}, {"usage": {}}, {"usage": 5}, {"choices": []}, {"choices": [5]}, {"x_groq": 5}]
)
def test_no_usage_is_none(place: Any) -> None:
    assert usage_in(place) is None


def test_reply_without_usage_invents_none() -> None:
    events = replied(chunk("stop", content="Hi."))
    assert events[-1]["response"]["usage"] is None and output(events)
