"""Requests past a limit are refused with the field and the option, before they are read."""

from dataclasses import replace
from typing import Any

import pytest

from tests.translate.support import Json, context_for
from translate import Limits, start_compact_exchange, start_exchange
from translate.wire.errors import RequestTooLarge

USER = {"role": "user", "content": "Hello."}
FUNCTION = {"type": "function", "name": "f"}
NAMESPACE = {"type": "namespace", "name": "n", "tools": [FUNCTION, FUNCTION]}
LIMITS = Limits(item_count=3, tool_count=3)


def start(body: Json, client: Any = "responses", history: list[Json] | None = None) -> None:
    context = replace(context_for(), limits=LIMITS, history=history)
    start_exchange({"model": "m", **body}, client=client, context=context)


@pytest.mark.parametrize(
    ("client", "fields", "path", "option"),
    [
        ("responses", {"input": [USER] * 4}, "input", "relay_max_items"),
        ("responses", {"input": [1] * 4}, "input", "relay_max_items"),
        ("responses", {"instructions": [USER] * 4}, "instructions", "relay_max_items"),
        ("responses", {"tools": [FUNCTION] * 4}, "tools", "relay_max_tools"),
        ("responses", {"tools": [NAMESPACE, FUNCTION]}, "tools", "relay_max_tools"),
        ("responses", {"tools": [{"type": "namespace", "tools": [NAMESPACE]}]}, "tools",
         "relay_max_tools"),
        ("responses", {"input": [USER, {"type": "additional_tools", "tools": [FUNCTION] * 4}]},
         "input[1].tools", "relay_max_tools"),
        ("chat", {"messages": [USER] * 4}, "messages", "relay_max_items"),
        ("chat", {"messages": [USER], "functions": [FUNCTION] * 4}, "functions", "relay_max_tools"),
    ],
)  # fmt: skip
def test_request_past_a_limit_is_refused(client: str, fields: Json, path: str, option: str) -> None:
    with pytest.raises(RequestTooLarge, match=option) as refusal:
        start({"input": "Hello."} | fields if client == "responses" else fields, client)
    assert refusal.value.param == path and refusal.value.status == 413
    assert refusal.value.message.startswith(f"{path}: has 4 elements")


def test_request_at_its_limits_is_served() -> None:
    start({"input": [USER] * 3, "tools": [{**NAMESPACE, "description": ""}]})


def test_history_counts_as_input() -> None:
    start({"input": [USER], "previous_response_id": "r"}, history=[USER, USER])
    with pytest.raises(RequestTooLarge, match="input: has 4 elements"):
        start({"input": [USER], "previous_response_id": "r"}, history=[USER] * 3)


def test_input_to_compact_has_the_same_limit() -> None:
    context = replace(context_for(), limits=LIMITS)
    with pytest.raises(RequestTooLarge):
        start_compact_exchange(
            {"model": "m", "input": [USER] * 4}, client="responses", context=context
        )
