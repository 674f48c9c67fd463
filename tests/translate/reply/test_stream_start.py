"""Whether a reply has begun, is an error, or may still be either."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import OBJECTS, VALUES, chunk, events_wire, feed_every_way, stream
from translate.reply.stream_start import PROBE_LIMIT, StreamProbe, StreamRefusal, StreamStart
from translate.wire.errors import ERROR_CODES, status_of_code

CREATED = {"type": "response.created", "response": {"id": "r", "output": [], "error": None}}
IN_PROGRESS = {"type": "response.in_progress", "response": {"id": "r", "output": []}}
LIMITS = {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 9}}}
OPENING_EVENTS = (CREATED, IN_PROGRESS, LIMITS)
OVERLOADED = {"code": "server_is_overloaded", "message": "Busy."}


def start_state(pieces: Iterable[bytes], end: bool = True) -> StreamStart:
    """As the transport reads it: up to the first content, or to the end."""
    probe = StreamProbe()
    for piece in [*pieces, *[b""] * end]:
        if (state := probe.feed(piece)) != "pending":
            return state
    return "pending"


def failed_event(error: object) -> dict[str, Any]:
    return {"type": "response.failed", "response": {"status": "failed", "error": error}}


CONTENT = [
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}},
    {"type": "response.output_text.delta", "delta": "Hi."},
    {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "delta": "Hm."},
    {"type": "response.image_generation_call.in_progress", "output_index": 0},
    {"type": "response.completed", "response": {"output": []}},
    {"type": "response.incomplete", "response": {}},
    failed_event(None),
    failed_event({"code": "invalid_prompt", "message": "No."}),
    failed_event({"code": "context_length_exceeded", "message": "Too long."}),
    {"type": "error", "message": "It broke."},
    {"error": "It broke."},
    {"error": {"message": "It broke.", "code": 999}},
    {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
    chunk(content="Hi."),
    chunk(reasoning_content="Hm."),
    chunk(tool_calls=[{"index": 0}]),
    chunk("stop"),
    {"choices": [{"message": {"role": "assistant", "content": "Hi."}}]},
    "[DONE]",
    "{",
]
NO_CONTENT = [
    *OPENING_EVENTS,
    {"type": "keepalive"},
    {"type": "response.queued", "response": {"error": None}},
    {"choices": []},
    {"choices": None},
    {"choices": ["odd", {"delta": "odd"}]},
    {"choices": [{"delta": None}], "usage": {"prompt_tokens": 3}},
    chunk(role="assistant", content=""),
    chunk(role="assistant", content=None, tool_calls=[]),
    "null",
    "",
    "[1]",
]


@pytest.mark.parametrize("event", CONTENT, ids=str)
def test_content_begins_a_reply(event: Any) -> None:
    wire = events_wire(*OPENING_EVENTS) + b": still here\n\n" + stream(event, done=False)
    assert feed_every_way(lambda pieces: start_state(pieces, end=False), wire) == "begun"


@pytest.mark.parametrize("event", NO_CONTENT, ids=str)
def test_events_without_content_leave_the_start_pending(event: Any) -> None:
    wire = b": OPENROUTER PROCESSING\n\n" + stream(event, done=False)
    assert feed_every_way(start_state, wire) == "pending"
    start = lambda pieces: start_state(pieces, end=False)  # noqa: E731
    assert feed_every_way(start, wire + stream(chunk(content="Hi."))) == "begun"


REFUSALS = [
    (failed_event(OVERLOADED), 503, OVERLOADED),
    ({"type": "error", "sequence_number": 2, "error": OVERLOADED}, 503, OVERLOADED),
    (
        {"type": "error", "code": "slow_down", "message": "Busy."},
        503,
        {"type": "error", "code": "slow_down", "message": "Busy."},
    ),
    *[
        ({"error": {"code": code}}, ERROR_CODES[code], {"code": code})
        for code in ERROR_CODES
        if status_of_code(code)
    ],
    *[({"error": {"code": code}}, int(code), {"code": code}) for code in (400, 402, 503, "502")],
    (
        failed_event({"type": "usage_limit_reached", "resets_at": 7}),
        429,
        {"type": "usage_limit_reached", "resets_at": 7},
    ),
    (
        {"choices": [{"error": {"code": 429, "message": "Slow."}, "finish_reason": "error"}]},
        429,
        {"code": 429, "message": "Slow."},
    ),
    (
        {"object": "error", "code": 500, "message": "No."},
        500,
        {"object": "error", "code": 500, "message": "No."},
    ),
]


@pytest.mark.parametrize(("event", "status", "error"), REFUSALS)
def test_failure_before_any_content_is_an_http_status(event: Any, status: int, error: Any) -> None:
    expected = StreamRefusal(status, json.dumps({"error": error}, separators=(",", ":")).encode())
    wire = events_wire(*OPENING_EVENTS, event)
    assert feed_every_way(lambda pieces: start_state(pieces, end=False), wire) == expected
    bare = json.dumps(event).encode()
    assert feed_every_way(start_state, bare) == expected
    assert feed_every_way(start_state, b"[" + bare + b"]") == expected
    assert feed_every_way(start_state, events_wire(CREATED) + bare) == expected


def test_failure_after_the_first_content_is_part_of_the_reply() -> None:
    wire = stream(chunk(content="Hi."), {"error": {"code": 503}})
    assert feed_every_way(start_state, wire) == "begun"


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b' {"a": 1}', b"[]", b"{", b"null", b"\x1f\x8b"]
)
def test_body_that_is_not_a_stream_has_begun(body: bytes) -> None:
    assert feed_every_way(start_state, body) == "begun"
    assert start_state([body], end=False) == "pending"


def test_reply_without_content_begins_at_the_size_limit() -> None:
    wire = b": waiting\n\n" * (PROBE_LIMIT // 11 + 9)
    assert start_state([wire[: PROBE_LIMIT - 1]]) == "pending"
    assert start_state([wire], end=False) == "begun"
    late = wire + events_wire(failed_event(OVERLOADED))
    assert start_state([late]) == start_state([late[:9], late[9:]]) == "begun"
    assert start_state([late[at : at + 5000] for at in range(0, len(late), 5000)]) == "begun"


@given(st.lists(st.binary(min_size=1, max_size=40)))
def test_any_bytes_have_a_start_state(pieces: list[bytes]) -> None:
    assert start_state(pieces) == start_state([b"".join(pieces)] if pieces else [])


NAMES = ("type", "choices", "error", "response", "object", "code", "base_resp", "x_groq")


@given(st.dictionaries(st.sampled_from(NAMES), VALUES | st.lists(OBJECTS, max_size=2)))
def test_any_event_has_a_start_state(event: dict[str, Any]) -> None:
    start_state([events_wire(event)])


def test_deeply_nested_error_has_a_start_state() -> None:
    deep = b"[" * 900 + b"]" * 900
    start_state([b'data: {"error": {"code": 503, "x": %s}}\n\n' % deep])
