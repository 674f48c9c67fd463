"""The reply machine for a Chat upstream: calls, endings and odd chunks beyond the golden cases."""

import json
from typing import Any

import pytest

from tests.translate.reply.test_call_items import A, delta
from tests.translate.support import (
    Json,
    chunk,
    lawful_events,
    output,
    reply_events,
    responses_exchange,
    stream,
)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi.", "Hi."), (None, ""), ([], ""), ([{"type": "text", "text": "Hi."}], "Hi."),
        ([{"type": "text"}, "x", {"type": "thinking", "thinking": []}], ""), (5, ""), ({}, ""),
    ],
)  # fmt: skip
def test_content_of_any_form_is_read(content: Any, text: str) -> None:
    items = output(reply_events(chunk(content=content), chunk("stop")))
    assert "".join(part["text"] for item in items for part in item["content"]) == text


def test_whole_message_at_the_end_of_a_stream_is_ignored() -> None:
    whole = {"role": "assistant", "content": "Hi.", "tool_calls": [delta(0, "x", "f", A)]}
    last = {"choices": [{"index": 0, "message": whole, "finish_reason": "tool_calls"}]}
    parts = [chunk(content="Hi."), chunk(tool_calls=[delta(0, "x", "f", A)])]
    assert output(reply_events(*parts, last)) == output(reply_events(last))


def test_unclosed_think_tag_makes_reasoning() -> None:
    items = output(reply_events(chunk(content="<think>A</th"), chunk("stop")))
    assert [part["text"] for part in items[0]["summary"]] == ["A</th"]


def test_unknown_fields_are_ignored() -> None:
    odd = chunk(content="Hi.", audio=None, refusal=None, role=None, tool_calls=None, x={"y": 1})
    [item] = output(reply_events(odd, chunk("stop", audio={"id": "a", "transcript": "Hi."})))
    assert [part["text"] for part in item["content"]] == ["Hi."]


def test_second_choice_is_dropped_and_reported() -> None:
    exchange = responses_exchange()
    assert exchange.response["status"] == "in_progress"
    both = [{"index": n, "delta": {"content": f"{n}."}} for n in range(3)]
    [item] = output(
        reply_events({"choices": both}, {"choices": both[1:]}, chunk("stop"), exchange=exchange)
    )
    assert [part["text"] for part in item["content"]] == ["0."]
    assert exchange.dropped == ["choices[1]", "choices[2]"]
    assert exchange.response["status"] == "completed"


@pytest.mark.parametrize(
    "chunks",
    [[chunk("stop")], [chunk("stop", content="")], [chunk("tool_calls", tool_calls=[])],
     [chunk(reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]), chunk("stop")]],
)  # fmt: skip
def test_empty_reply_fails(chunks: list[Json]) -> None:
    last = reply_events(*chunks)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["message"] == "The upstream sent an empty reply"


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_empty_reply_that_was_cut_off_is_incomplete(finish: str) -> None:
    assert reply_events(chunk(finish))[-1]["type"] == "response.incomplete"
    thought = reply_events(chunk(reasoning="Hm."), chunk(finish))[-1]["response"]["output"]
    assert [item["type"] for item in thought] == ["reasoning"]


def test_reasoning_without_an_answer_is_shown_as_the_answer() -> None:
    reasoning, message = output(reply_events(chunk(reasoning="It is hot."), chunk("stop")))
    assert reasoning["summary"][0]["text"] == message["content"][0]["text"] == "It is hot."


@pytest.mark.parametrize("earlier", [[], [chunk(content="Hi.")], [chunk("stop", content="Hi.")]])
@pytest.mark.parametrize("framed", [True, False])
def test_error_in_a_list_fails_the_reply(earlier: list[Json], framed: bool) -> None:
    """Gemini sends its errors in a list, as an event or bare behind other events."""
    error = json.dumps([{"error": {"code": 500, "message": "Internal error"}}])
    wire = stream(*earlier, done=False) + (f"data: {error}\n\n" if framed else error).encode()
    exchange = responses_exchange()
    last = lawful_events(exchange.feed(wire) + exchange.feed(b""))[-1]
    assert last["type"] == "response.failed"
    assert "Internal error" in last["response"]["error"]["message"]


def test_connection_lost_after_the_finish_reason_completes_the_reply() -> None:
    exchange = responses_exchange()
    wire = exchange.feed(stream(chunk("stop", content="Hi."), done=False))
    assert lawful_events(wire + exchange.interrupt("reset"))[-1]["type"] == "response.completed"


def test_connection_lost_before_the_finish_reason_fails_the_reply() -> None:
    exchange = responses_exchange()
    wire = exchange.feed(stream(chunk(content="Hi."), done=False))
    last = lawful_events(wire + exchange.interrupt("connection reset"))[-1]
    assert last["type"] == "response.failed"
    assert "connection reset" in last["response"]["error"]["message"]


def test_unreachable_upstream_is_an_error_in_body_and_stream() -> None:
    """Codex would ask thirty times after a 502, and asks six times after the event."""
    reply = responses_exchange().unreachable_reply("connection refused")
    assert reply.status == 200 and reply.body == reply.stream_events
    assert b"connection refused" in reply.body
    assert lawful_events(reply.stream_events)[-1]["type"] == "response.failed"
    whole = responses_exchange(stream=False).unreachable_reply("connection refused")
    assert whole.status == 502 and b"connection refused" in whole.body


def test_only_the_first_heartbeat_opens_the_reply() -> None:
    exchange = responses_exchange()
    wire = exchange.heartbeat() + exchange.heartbeat()
    wire += exchange.feed(stream(chunk("length")))
    types = [event["type"] for event in lawful_events(wire)]
    assert types == [
        *["response.created", "response.in_progress", "response.in_progress", "response.incomplete"]
    ]


def test_client_without_a_stream_gets_no_heartbeat() -> None:
    assert responses_exchange(stream=False).heartbeat() == b""


def test_nothing_follows_the_end() -> None:
    exchange = responses_exchange()
    assert exchange.feed(stream(chunk("stop", content="Hi.")))
    later = stream(chunk(content="More."), {"error": "late"}, "not json")
    assert exchange.feed(later) == exchange.feed(b"") == exchange.interrupt("x") == b""
    assert exchange.error_reply(500, b"late", None).stream_events == b""


@pytest.mark.parametrize(
    "wire", [b"", b"<html>Sign in</html>", b"5", b"data: 5\n\n", b"[1]", b"{}"]
)
def test_reply_without_chunks_fails(wire: bytes) -> None:
    exchange = responses_exchange()
    events = exchange.feed(wire) if wire else b""
    assert lawful_events(events + exchange.feed(b""))[-1]["type"] == "response.failed"
    assert responses_exchange(stream=False).whole_reply(wire).status == 502


def test_whole_reply_that_was_cut_off_is_incomplete() -> None:
    reply = responses_exchange(stream=False).whole_reply(stream(chunk("length", content="Hi.")))
    body = json.loads(reply.body)
    assert (reply.status, reply.stream_events, body["status"]) == (200, b"", "incomplete")
