"""Calls from the deltas of a Chat stream, of which providers leave out or repeat any field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import Json, chunk, output, reply_events, responses_exchange
from translate.reply.call_items import CALLS_LIMIT, CallArguments
from translate.wire import codec

FUNCTION = {"type": "function", "name": "f", "parameters": {}, "strict": None}
PATCH = {"type": "custom", "name": "p"}
TOOLS = [FUNCTION, {**FUNCTION, "name": "g"}, PATCH, {"type": "tool_search"}]


def delta(index: Any = None, id: Any = None, name: Any = None, arguments: Any = None) -> Json:
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in call.items() if value is not None}


def calls_from(*deltas: Json, finish: str = "tool_calls") -> list[tuple[str, str, str]]:
    """(id, name, text) of the calls in a reply with these deltas."""
    chunks = [chunk(tool_calls=[call_delta]) for call_delta in deltas]
    items = output(reply_events(*chunks, chunk(finish), exchange=responses_exchange(tools=TOOLS)))
    return [
        (item["call_id"], item["name"], item.get("arguments", item.get("input"))) for item in items
    ]


A = '{"a":1}'


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        # continued by index: id and name do not matter
        ([delta(0, "x", "f", '{"a"'), delta(0, "", "", ":1}")], [("x", "f", A)]),
        ([delta(0, "x", "f", '{"a"'), delta(0, "y", "f", ":1}")], [("x", "f", A)]),
        ([delta(0, "x", "f", '{"a"'), delta(0, "x", "f", ":1}")], [("x", "f", A)]),
        ([delta(0, "x", "f", ""), delta(0, "x", "f", A)], [("x", "f", A)]),
        # continued by id, or because nothing else is open
        ([delta(None, "x", "f", '{"a"'), delta(None, "x", None, ":1}")], [("x", "f", A)]),
        ([delta(None, "x", "f", '{"a"'), delta(None, None, None, ":1}")], [("x", "f", A)]),
        ([delta("0", "x", "f", '{"a"'), delta("0", None, None, ":1}")], [("x", "f", A)]),
        # another call
        ([delta(0, "x", "f", A), delta(1, "y", "f", A)], [("x", "f", A), ("y", "f", A)]),
        ([delta(0, "x", "f", A), delta(0, "y", "f", A)], [("x", "f", A), ("y", "f", A)]),
        ([delta(0, "x", "f", A), delta(0, "y", "f", "")], [("x", "f", A), ("y", "f", "{}")]),
        ([delta(0, "x", "f"), delta(0, "y", "g", A)], [("x", "f", "{}"), ("y", "g", A)]),
        ([delta(0, "x", "f", A), delta(0, None, "f", A)], [("x", "f", A), ("call_1_1", "f", A)]),
        ([delta(None, "x", "f", A), delta(None, "y", "f", A)], [("x", "f", A), ("y", "f", A)]),
        ([delta(None, None, "f", A), delta(None, None, "g", A)],
         [("call_1_0", "f", A), ("call_1_1", "g", A)]),
        # interleaved by id
        ([delta(None, "x", "f", '{"a"'), delta(None, "y", "g", '{"a"'),
          delta(None, "x", None, ":1}"), delta(None, "y", None, ":1}")],
         [("x", "f", A), ("y", "g", A)]),
        # two calls with one id
        ([delta(0, "x", "f", A), delta(1, "x", "g", A)],
         [("x", "f", A), ("x_1_1_1", "g", A)]),
        # the whole call repeated, and another call with the same id
        ([delta(0, "x", "f", A), delta(0, "x", "f", A)], [("x", "f", A)]),
        ([delta(None, "x", "f", A), delta(None, "x", "f", A)], [("x", "f", A)]),
        ([delta(0, "x", "f", A), delta(0, "x", "f", "")], [("x", "f", A)]),
        ([delta(0, "x", "f", A), delta(0, "x", "f", '{"a":2}')],
         [("x", "f", A), ("x_1_1_1", "f", '{"a":2}')]),
        # pieces that neither index nor id distinguish
        ([delta(0, "x", "f", A), delta(0, None, "f", '{"a"'), delta(0, None, None, ":1}")],
         [("x", "f", A), ("call_1_1", "f", A)]),
        ([delta(None, "x", "f", A), delta(None, "x", "f", ' {"a"'), delta(None, "x", "f", ":2}")],
         [("x", "f", A), ("x_1_1_1", "f", ' {"a":2}')]),
        ([delta(0, "x", "f", A), delta(0, "x", "f", " ")], [("x", "f", A + " ")]),
        # arguments of any form
        ([delta(0, "x", "f", {"a": 1})], [("x", "f", A)]),
        ([delta(0, "x", "f", [1])], [("x", "f", "[1]")]),
        ([delta(0, "x", "f", 5)], [("x", "f", "{}")]),
        ([delta(0, "x", "p", {"input": "a"})], [("x", "p", "a")]),
        ([delta(0, "x", "p", "")], [("x", "p", "")]),
        ([delta(0, "x", "p", '{"input":"a"'), delta(0, None, None, ',"b":1}')], [("x", "p", "a")]),
        ([delta(0, "x", "p", '{"input":"a","input":"b"}')], [("x", "p", 'a","input":"b"}')]),
        ([delta(0, "x", "p", r'{"input":"grep \d a\nls"}')], [("x", "p", "grep \\d a\nls")]),
    ],
)  # fmt: skip
def test_deltas_make_calls(deltas: list[Json], calls: list[tuple[str, str, str]]) -> None:
    assert calls_from(*deltas) == calls


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize(
    ("arguments", "whole"),
    [('{"a":1}', True), ("{}", True), ('{"a":', False), ("", False), ('{"input":"x', False)],
)
@pytest.mark.parametrize("name", ["f", "p"])
def test_incomplete_call_is_never_finished(
    name: str, arguments: str, whole: bool, finish: str
) -> None:
    assert len(calls_from(delta(0, "x", name, arguments), finish=finish)) == whole


@pytest.mark.parametrize("calls", [None, {}, "x", [None], [5], [{}], [{"function": "f"}]])
def test_malformed_calls_are_ignored(calls: Any) -> None:
    last = reply_events(
        chunk(content="Hi."),
        chunk("stop", tool_calls=calls),
        exchange=responses_exchange(tools=TOOLS),
    )[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["output"][0]["type"] == "message"


@pytest.mark.parametrize("form", ["delta", "message"])
def test_legacy_function_call_becomes_a_call(form: str) -> None:
    """https://platform.openai.com/docs/api-reference/chat/object: `function_call`, deprecated."""
    whole = {"name": "f", "arguments": A}
    pieces = [{"name": "f", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ":1}"}]
    chunks = [chunk(function_call=piece) for piece in pieces] + [chunk("function_call")]
    if form == "message":
        message = {"role": "assistant", "content": None, "function_call": whole}
        chunks = [{"choices": [{"message": message, "finish_reason": "function_call"}]}]
    [item] = output(reply_events(*chunks, exchange=responses_exchange(tools=TOOLS)))
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", "f", A)


@pytest.mark.parametrize("legacy", [None, {}, "x", {"name": "f", "arguments": A}])
def test_legacy_function_call_beside_tool_calls_is_ignored(legacy: Any) -> None:
    calls = chunk("stop", tool_calls=[delta(0, "x", "f", A)], function_call=legacy)
    assert len(output(reply_events(calls, exchange=responses_exchange(tools=TOOLS)))) == 1


def test_error_after_the_finish_reason_leaves_calls_open() -> None:
    call = chunk("tool_calls", tool_calls=[delta(0, "x", "f", A)])
    events = reply_events(call, {"error": "late"}, exchange=responses_exchange(tools=TOOLS))
    assert events[-1]["type"] == "response.failed" and output(events) == []


@pytest.mark.parametrize("text", ["{}x", "{}{}", '{"a":1}\\', "}", "}{", '"', '{"a":"}', "x{}"])
def test_text_that_is_no_object_is_not_complete(text: str) -> None:
    arguments = CallArguments()
    for character in text:
        arguments.add_text(character)
        assert arguments.is_json_object() == codec.is_json_object(arguments.join_pieces())
    assert not arguments.is_json_object()


@given(
    st.lists(st.sampled_from(["{", "}", '"', "\\", "a", ":", " ", ",", "1", '{"a":1}']), max_size=9)
)
def test_arguments_are_complete_when_they_are_one_object(texts: list[str]) -> None:
    arguments = CallArguments()
    for text in texts:
        arguments.add_text(text)
        assert arguments.is_json_object() == codec.is_json_object(arguments.join_pieces())
        assert arguments.equals(arguments.join_pieces())


@pytest.mark.parametrize("name", ["f", None])
def test_reply_with_too_many_calls_fails(name: str | None) -> None:
    deltas = [delta(index, f"id{index}", name, "{}") for index in range(CALLS_LIMIT + 1)]
    exchange = responses_exchange(tools=TOOLS)
    events = reply_events(chunk(tool_calls=deltas), exchange=exchange)
    assert events[-1]["type"] == "response.failed" and output(events) == []
    assert "more than 1,024 calls" in events[-1]["response"]["error"]["message"]
