"""Client dialects: how events are written, which of them are output, and Chat on both sides."""

import json
from typing import Any

import pytest

from tests.translate.support import (
    ACCOUNT,
    GENERIC,
    Json,
    chat_exchange,
    chunk,
    provider,
    stream,
)
from translate.dialects import CLIENT_DIALECTS

RESPONSES, CHAT = CLIENT_DIALECTS["responses"], CLIENT_DIALECTS["chat"]


@pytest.mark.parametrize(
    ("event", "has_output"),
    [
        ({"type": "response.created"}, False),
        ({"type": "response.output_item.added", "item": {"type": "message"}}, False),
        ({"type": "response.output_text.delta", "delta": "Hi."}, True),
        ({"type": "response.reasoning_summary_text.delta", "delta": "Hm."}, True),
        ({"type": "response.function_call_arguments.delta", "delta": "{"}, True),
        ({"type": "response.output_text.done", "text": "Hi."}, False),
        ({"type": "response.completed"}, False),
    ],
)
def test_deltas_are_the_output_of_a_responses_stream(event: Json, has_output: bool) -> None:
    assert RESPONSES.has_output(event) is has_output


@pytest.mark.parametrize(
    ("delta", "has_output"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"role": "assistant", "content": "Hi."}, True),
        ({"reasoning_content": "Hm."}, True),
        ({"refusal": "No."}, True),
        ({"tool_calls": [{"index": 0}]}, True),
        ({"function_call": {"name": "f"}}, True),
        ({"images": [{"type": "image_url"}]}, True),
        ({"reasoning_details": [{"data": "x"}]}, False),
        ({"annotations": [{}]}, False),
        ({}, False),
    ],
)
def test_text_reasoning_and_calls_are_the_output_of_a_chat_stream(
    delta: Json, has_output: bool
) -> None:
    assert CHAT.has_output({"choices": [{"delta": delta}]}) is has_output


@pytest.mark.parametrize(
    "stream_chunk", [{}, {"choices": [], "usage": {}}, {"error": {"code": "x"}}]
)
def test_chunk_without_a_delta_is_no_output(stream_chunk: Json) -> None:
    assert not CHAT.has_output(stream_chunk)


def test_chat_stream_ends_with_done_and_responses_stream_with_its_last_event() -> None:
    assert (CHAT.stream_end, RESPONSES.stream_end) == (b"data: [DONE]\n\n", b"")
    assert CHAT.encode_event({"a": 1}) == b'data: {"a":1}\n\n'
    assert RESPONSES.encode_event({"type": "x"}) == b'event: x\ndata: {"type":"x"}\n\n'


def test_only_codex_needs_some_errors_as_events() -> None:
    assert all("context_length_exceeded" in codes for codes in RESPONSES.stream_only_codes)
    assert not any(CHAT.stream_only_codes)


@pytest.mark.parametrize(
    ("fields", "to", "dropped"),
    [
        ({"top_k": 5}, GENERIC, []),
        ({"metadata": {"a": "b"}}, GENERIC, ["metadata"]),
        ({"top_k": 5}, provider(refuses=["top_k"]), ["top_k"]),
        ({"top_k": 5}, ACCOUNT, ["top_k"]),
    ],
)
def test_chat_upstream_gets_fields_that_openai_does_not_have(
    fields: Json, to: Any, dropped: list[str]
) -> None:
    exchange = chat_exchange(fields, to=to)
    assert exchange.dropped == dropped
    name = next(iter(fields))
    assert (name in json.loads(exchange.body)) is (not dropped)


def test_chat_upstreams_reply_is_repaired_for_a_chat_client() -> None:
    exchange = chat_exchange(to=GENERIC, stream=False)
    reply = exchange.whole_reply(stream(chunk(content="<think>Hm.</think>Hi."), chunk("stop")))
    message = json.loads(reply.body)["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Hi.")
