import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import OBJECTS, VALUES, chunk, events_wire, feed_every_way, stream
from translate.reply.stream_start import CODES, LIMIT, Handshake, Opening, Refused

CREATED = {"type": "response.created", "response": {"id": "r", "output": [], "error": None}}
GOES_ON = {"type": "response.in_progress", "response": {"id": "r", "output": []}}
LIMITS = {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 9}}}
OPENING = (CREATED, GOES_ON, LIMITS)
OVERLOADED = {"code": "server_is_overloaded", "message": "Busy."}


def opening(pieces: Iterable[bytes], end: bool = True) -> Opening:
    """As the transport reads it: to the first word, or to the end."""
    handshake = Handshake()
    for piece in [*pieces, *[b""] * end]:
        if (said := handshake.feed(piece)) != "pending":
            return said
    return "pending"


def failed(error: object) -> dict[str, Any]:
    return {"type": "response.failed", "response": {"status": "failed", "error": error}}


SPEAKS = [
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning"}},
    {"type": "response.output_text.delta", "delta": "Hi."},
    {"type": "response.reasoning_summary_text.delta", "item_id": "rs_1", "delta": "Hm."},
    {"type": "response.image_generation_call.in_progress", "output_index": 0},
    {"type": "response.completed", "response": {"output": []}},
    {"type": "response.incomplete", "response": {}},
    failed(None),
    failed({"code": "invalid_prompt", "message": "No."}),
    failed({"code": "context_length_exceeded", "message": "Too long."}),
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
QUIET = [
    *OPENING,
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


@pytest.mark.parametrize("event", SPEAKS, ids=str)
def test_content_begins_a_reply(event: Any) -> None:
    wire = events_wire(*OPENING) + b": still here\n\n" + stream(event, done=False)
    assert feed_every_way(lambda pieces: opening(pieces, end=False), wire) == "begun"


@pytest.mark.parametrize("event", QUIET, ids=str)
def test_what_says_nothing_is_waited_out(event: Any) -> None:
    wire = b": OPENROUTER PROCESSING\n\n" + stream(event, done=False)
    assert feed_every_way(opening, wire) == "pending"
    begun = lambda pieces: opening(pieces, end=False)  # noqa: E731
    assert feed_every_way(begun, wire + stream(chunk(content="Hi."))) == "begun"


REFUSALS = [
    (failed(OVERLOADED), 503, OVERLOADED),
    ({"type": "error", "sequence_number": 2, "error": OVERLOADED}, 503, OVERLOADED),
    (
        {"type": "error", "code": "slow_down", "message": "Busy."},
        503,
        {"type": "error", "code": "slow_down", "message": "Busy."},
    ),
    *[({"error": {"code": code}}, status, {"code": code}) for code, status in CODES.items()],
    *[({"error": {"code": code}}, int(code), {"code": code}) for code in (400, 402, 503, "502")],
    (
        failed({"type": "usage_limit_reached", "resets_at": 7}),
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
def test_failure_before_the_first_word_is_an_http_status(
    event: Any, status: int, error: Any
) -> None:
    expected = Refused(status, json.dumps({"error": error}, separators=(",", ":")).encode())
    wire = events_wire(*OPENING, event)
    assert feed_every_way(lambda pieces: opening(pieces, end=False), wire) == expected
    bare = json.dumps(event).encode()
    assert feed_every_way(opening, bare) == expected
    assert feed_every_way(opening, b"[" + bare + b"]") == expected
    assert feed_every_way(opening, events_wire(CREATED) + bare) == expected


def test_failure_after_the_first_word_is_not() -> None:
    wire = stream(chunk(content="Hi."), {"error": {"code": 503}})
    assert feed_every_way(opening, wire) == "begun"


@pytest.mark.parametrize(
    "body", [b"<html>Welcome</html>", b' {"a": 1}', b"[]", b"{", b"null", b"\x1f\x8b"]
)
def test_what_is_no_stream_was_not_cut(body: bytes) -> None:
    assert feed_every_way(opening, body) == "begun"
    assert opening([body], end=False) == "pending"


def test_long_quiet_has_an_end() -> None:
    wire = b": waiting\n\n" * (LIMIT // 11 + 9)
    assert opening([wire[: LIMIT - 1]]) == "pending"
    assert opening([wire], end=False) == "begun"
    late = wire + events_wire(failed(OVERLOADED))
    assert opening([late]) == opening([late[:9], late[9:]]) == "begun"
    assert opening([late[at : at + 5000] for at in range(0, len(late), 5000)]) == "begun"


@given(st.lists(st.binary(min_size=1, max_size=40)))
def test_bytes_of_any_kind_are_read(pieces: list[bytes]) -> None:
    assert opening(pieces) == opening([b"".join(pieces)] if pieces else [])


NAMES = ("type", "choices", "error", "response", "object", "code", "base_resp", "x_groq")


@given(st.dictionaries(st.sampled_from(NAMES), VALUES | st.lists(OBJECTS, max_size=2)))
def test_events_of_any_form_are_read(event: dict[str, Any]) -> None:
    opening([events_wire(event)])


def test_error_of_any_depth_is_read() -> None:
    deep = b"[" * 900 + b"]" * 900
    opening([b'data: {"error": {"code": 503, "x": %s}}\n\n' % deep])
