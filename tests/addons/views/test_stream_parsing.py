"""Replies assembled from streams of either dialect, complete or cut."""

import pytest

from addons.views.stream_parsing import (
    ArrivalTimes,
    StreamEvent,
    assemble_reply,
    parse_reply,
    parse_stream,
)
from tests.addons.views.support import encode_json, stream_text
from tests.translate.cases import RESPONSES_CASES
from tests.translate.support import chunk
from tests.translate.support import stream as chat


def test_events_comments_and_texts_have_their_offsets() -> None:
    body = b': hi\r\n\r\nevent: x\r\ndata: {"a": 1}\r\n\r\ndata: [DONE]\n\n{"error": "late"}'
    assert list(parse_stream(body)) == [
        StreamEvent(8, None, ": hi"),
        StreamEvent(36, {"a": 1}, ""),
        StreamEvent(50, None, "[DONE]"),
        StreamEvent(67, {"error": "late"}, ""),
    ]
    assert [event.is_comment for event in parse_stream(body)] == [True, False, False, False]


@pytest.mark.parametrize("name", ["generic/reply_interleaved_calls", "deepseek/tool_turn"])
def test_half_a_stream_is_shown_as_far_as_it_goes(name: str) -> None:
    [case] = [case for case in RESPONSES_CASES if str(case) == name] or RESPONSES_CASES[:1]
    body = case.produced_files()["client.sse"]
    for cut in range(0, len(body), 97):
        assert "could not be read" not in stream_text(body[:cut])


def test_chunks_make_a_reply() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "run", "arguments": '{"a"'}}
    rest = {"index": 0, "function": {"arguments": ": 1}"}}
    other = {"index": 0, "id": "d", "function": {"name": "run", "arguments": "{}"}}
    body = chat(
        chunk(content="He"),
        chunk(content="llo"),
        *(chunk(tool_calls=[row]) for row in (call, rest, other)),
        chunk("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 5}},
    )
    reply = parse_reply(body)
    [choice] = reply["choices"]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] == "Hello"
    assert choice["message"]["tool_calls"] == [
        {"id": "c", "function": {"name": "run", "arguments": '{"a": 1}'}},
        {"id": "d", "function": {"name": "run", "arguments": "{}"}},
    ]
    assert reply["usage"] == {"prompt_tokens": 5}


def test_open_items_have_their_text_so_far() -> None:
    events = [
        {"type": "response.output_item.added", "output_index": 0,
         "item": {"type": "function_call", "name": "exec", "call_id": "c", "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"cmd": '},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Hi."},
    ]  # fmt: skip
    call, message = assemble_reply(events)["output"]
    assert call["arguments"] == '{"cmd": '
    assert message["content"] == [{"type": "text", "text": "Hi."}]
    body = b"".join(b"data: %s\n\n" % encode_json(event) for event in events)
    assert '━━ 0 · call of exec · c\n{"cmd":' in stream_text(body)


def test_last_snapshot_of_the_response_has_everything() -> None:
    done = {"id": "r", "status": "completed", "output": [{"type": "message"}]}
    events = [
        {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
        {"type": "response.completed", "response": done},
    ]
    assert assemble_reply(events) == done


def test_first_error_of_a_stream_is_part_of_the_reply() -> None:
    assert assemble_reply([{"error": "one"}, 3, {"error": "two"}])["error"] == "one"


def test_replies_that_do_not_stream() -> None:
    assert parse_reply(b'{"id": "x"}') == {"id": "x"}
    assert parse_reply(b'[{"error": {"code": 400}}]') == {"error": {"code": 400}}
    with pytest.raises(ValueError, match="not a JSON object"):
        parse_reply(b"3")
    with pytest.raises(ValueError):
        parse_reply(b"<html>")


def test_arrival_times_are_found_by_offset() -> None:
    times = ArrivalTimes([[0, 0], [100, 10], "odd"])
    assert [times.milliseconds_at(end) for end in (0, 1, 10, 11, 99)] == [None, 0, 0, 100, 100]
    assert ArrivalTimes(None).milliseconds_at(5) is None
