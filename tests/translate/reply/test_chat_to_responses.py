"""The reply machine: what cases do not show of calls, endings and odd chunks."""

import json
from typing import Any

import pytest

from tests.translate.support import Json, carry, chunk, lawful, output, replied, stream

FUNCTION = {"type": "function", "name": "f", "parameters": {}, "strict": None}
PATCH = {"type": "custom", "name": "p"}
TOOLS = [FUNCTION, {**FUNCTION, "name": "g"}, PATCH, {"type": "tool_search"}]


def delta(index: Any = None, id: Any = None, name: Any = None, arguments: Any = None) -> Json:
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    return {key: value for key, value in call.items() if value is not None}


def called(*deltas: Json, finish: str = "tool_calls") -> list[tuple[str, str, str]]:
    """(id, name, text) of the calls that a reply of such deltas makes."""
    chunks = [chunk(tool_calls=[one]) for one in deltas]
    made = output(replied(*chunks, chunk(finish), by=carry(tools=TOOLS)))
    return [(one["call_id"], one["name"], one.get("arguments", one.get("input"))) for one in made]


A = '{"a":1}'


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        # continued by index, whatever id and name say
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
        # one id for two
        ([delta(0, "x", "f", A), delta(1, "x", "g", A)],
         [("x", "f", A), ("x_1_1_1", "g", A)]),
        # the same call said again as a whole, and another one with the same id
        ([delta(0, "x", "f", A), delta(0, "x", "f", A)], [("x", "f", A)]),
        ([delta(None, "x", "f", A), delta(None, "x", "f", A)], [("x", "f", A)]),
        ([delta(0, "x", "f", A), delta(0, "x", "f", "")], [("x", "f", A)]),
        ([delta(0, "x", "f", A), delta(0, "x", "f", '{"a":2}')],
         [("x", "f", A), ("x_1_1_1", "f", '{"a":2}')]),
        # in pieces that neither index nor id tell apart
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
    assert called(*deltas) == calls


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize(
    ("arguments", "whole"),
    [('{"a":1}', True), ("{}", True), ('{"a":', False), ("", False), ('{"input":"x', False)],
)
@pytest.mark.parametrize("name", ["f", "p"])
def test_call_that_was_cut_off_is_never_done(
    name: str, arguments: str, whole: bool, finish: str
) -> None:
    assert len(called(delta(0, "x", name, arguments), finish=finish)) == whole


@pytest.mark.parametrize("calls", [None, {}, "x", [None], [5], [{}], [{"function": "f"}]])
def test_calls_that_are_none_do_no_harm(calls: Any) -> None:
    last = replied(chunk(content="Hi."), chunk("stop", tool_calls=calls), by=carry(tools=TOOLS))[-1]
    assert last["type"] == "response.completed"
    assert last["response"]["output"][0]["type"] == "message"


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Hi.", "Hi."), (None, ""), ([], ""), ([{"type": "text", "text": "Hi."}], "Hi."),
        ([{"type": "text"}, "x", {"type": "thinking", "thinking": []}], ""), (5, ""), ({}, ""),
    ],
)  # fmt: skip
def test_content_of_any_form_is_read(content: Any, text: str) -> None:
    made = output(replied(chunk(content=content), chunk("stop")))
    assert "".join(part["text"] for item in made for part in item["content"]) == text


@pytest.mark.parametrize(
    "thinking", ["Hm.", [{"type": "text", "text": "Hm."}, "x", {"text": None}]]
)
def test_thinking_parts_are_thinking(thinking: Any) -> None:
    content = [{"type": "thinking", "thinking": thinking}]
    made, _ = output(replied(chunk(content=content), chunk("stop", content="So.")))
    assert made["summary"] == [{"type": "summary_text", "text": "Hm."}]


def test_message_at_the_end_of_a_stream_says_nothing_again() -> None:
    whole = {"role": "assistant", "content": "Hi.", "tool_calls": [delta(0, "x", "f", A)]}
    last = {"choices": [{"index": 0, "message": whole, "finish_reason": "tool_calls"}]}
    parts = [chunk(content="Hi."), chunk(tool_calls=[delta(0, "x", "f", A)])]
    assert output(replied(*parts, last)) == output(replied(last))


def test_text_and_refusal_are_parts_of_one_message() -> None:
    [made] = output(replied(chunk(content="Hm. "), chunk(refusal="No."), chunk("stop")))
    assert [part["type"] for part in made["content"]] == ["output_text", "refusal"]


def test_text_on_both_sides_of_thinking_makes_items_in_order() -> None:
    chunks = [chunk(content="A"), chunk(reasoning="B"), chunk(content="C"), chunk("stop")]
    assert [item["type"] for item in output(replied(*chunks))] == [
        "message",
        "reasoning",
        "message",
    ]


def test_unclosed_think_tag_was_thinking_all_along() -> None:
    made = output(replied(chunk(content="<think>A</th"), chunk("stop")))
    assert [part["text"] for part in made[0]["summary"]] == ["A</th"]


def test_text_comes_before_the_call_that_it_was_held_for() -> None:
    call = delta(0, "x", "f", A)
    made = output(replied(chunk(content="<"), chunk(tool_calls=[call]), chunk("stop")))
    assert [item["type"] for item in made] == ["message", "function_call"]


@pytest.mark.parametrize("form", ["delta", "message"])
def test_function_call_of_the_old_form_is_a_call(form: str) -> None:
    """https://platform.openai.com/docs/api-reference/chat/object: `function_call`, deprecated."""
    whole = {"name": "f", "arguments": A}
    pieces = [{"name": "f", "arguments": ""}, {"arguments": '{"a"'}, {"arguments": ":1}"}]
    chunks = [chunk(function_call=piece) for piece in pieces] + [chunk("function_call")]
    if form == "message":
        message = {"role": "assistant", "content": None, "function_call": whole}
        chunks = [{"choices": [{"message": message, "finish_reason": "function_call"}]}]
    [made] = output(replied(*chunks, by=carry(tools=TOOLS)))
    assert (made["type"], made["name"], made["arguments"]) == ("function_call", "f", A)


@pytest.mark.parametrize("legacy", [None, {}, "x", {"name": "f", "arguments": A}])
def test_old_form_beside_the_new_one_says_nothing_more(legacy: Any) -> None:
    calls = chunk("stop", tool_calls=[delta(0, "x", "f", A)], function_call=legacy)
    assert len(output(replied(calls, by=carry(tools=TOOLS)))) == 1


def test_fields_that_nobody_knows_harm_nothing() -> None:
    odd = chunk(content="Hi.", audio=None, refusal=None, role=None, tool_calls=None, x={"y": 1})
    [made] = output(replied(odd, chunk("stop", audio={"id": "a", "transcript": "Hi."})))
    assert [part["text"] for part in made["content"]] == ["Hi."]


def test_further_choices_are_reported_and_not_shown() -> None:
    crossing = carry()
    assert crossing.response["status"] == "in_progress"
    both = [{"index": n, "delta": {"content": f"{n}."}} for n in range(3)]
    [made] = output(replied({"choices": both}, {"choices": both[1:]}, chunk("stop"), by=crossing))
    assert [part["text"] for part in made["content"]] == ["0."]
    assert crossing.dropped == ["choices[1]", "choices[2]"]
    assert crossing.response["status"] == "completed"


@pytest.mark.parametrize(
    "chunks",
    [[chunk("stop")], [chunk("stop", content="")], [chunk("tool_calls", tool_calls=[])],
     [chunk(reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]), chunk("stop")]],
)  # fmt: skip
def test_empty_reply_is_no_success(chunks: list[Json]) -> None:
    last = replied(*chunks)[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["error"]["message"] == "The upstream sent an empty reply"


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_empty_reply_that_was_cut_off_says_so(finish: str) -> None:
    assert replied(chunk(finish))[-1]["type"] == "response.incomplete"
    thought = replied(chunk(reasoning="Hm."), chunk(finish))[-1]["response"]["output"]
    assert [item["type"] for item in thought] == ["reasoning"]


def test_thinking_alone_is_the_answer() -> None:
    thought, said = output(replied(chunk(reasoning="It is hot."), chunk("stop")))
    assert thought["summary"][0]["text"] == said["content"][0]["text"] == "It is hot."


@pytest.mark.parametrize("before", [[], [chunk(content="Hi.")], [chunk("stop", content="Hi.")]])
@pytest.mark.parametrize("framed", [True, False])
def test_error_in_a_list_is_told(before: list[Json], framed: bool) -> None:
    """Gemini's form, as an event and bare behind the others."""
    error = json.dumps([{"error": {"code": 500, "message": "Internal error"}}])
    wire = stream(*before, done=False) + (f"data: {error}\n\n" if framed else error).encode()
    crossing = carry()
    last = lawful(crossing.feed(wire) + crossing.feed(b""))[-1]
    assert last["type"] == "response.failed"
    assert "Internal error" in last["response"]["error"]["message"]


def test_error_behind_the_finish_leaves_calls_open() -> None:
    call = chunk("tool_calls", tool_calls=[delta(0, "x", "f", A)])
    events = replied(call, {"error": "late"}, by=carry(tools=TOOLS))
    assert events[-1]["type"] == "response.failed" and output(events) == []


def test_upstream_that_breaks_off_behind_the_finish_harms_nothing() -> None:
    crossing = carry()
    wire = crossing.feed(stream(chunk("stop", content="Hi."), done=False))
    assert lawful(wire + crossing.cut("reset"))[-1]["type"] == "response.completed"


def test_upstream_that_breaks_off_fails_the_reply() -> None:
    crossing = carry()
    wire = crossing.feed(stream(chunk(content="Hi."), done=False))
    last = lawful(wire + crossing.cut("connection reset"))[-1]
    assert last["type"] == "response.failed"
    assert "connection reset" in last["response"]["error"]["message"]


def test_upstream_that_cannot_be_reached_is_an_error_both_ways() -> None:
    reply = carry().unreachable("connection refused")
    assert reply.status == 502 and b"connection refused" in reply.body
    assert lawful(reply.event)[-1]["type"] == "response.failed"


def test_heartbeats_begin_the_reply_once() -> None:
    crossing = carry()
    wire = crossing.heartbeat() + crossing.heartbeat()
    wire += crossing.feed(stream(chunk("length")))
    kinds = [event["type"] for event in lawful(wire)]
    assert kinds == [
        *["response.created", "response.in_progress", "response.in_progress", "response.incomplete"]
    ]


def test_client_that_asked_for_no_stream_gets_no_heartbeat() -> None:
    assert carry(stream=False).heartbeat() == b""


def test_nothing_follows_the_end() -> None:
    crossing = carry()
    assert crossing.feed(stream(chunk("stop", content="Hi.")))
    later = stream(chunk(content="More."), {"error": "late"}, "not json")
    assert crossing.feed(later) == crossing.feed(b"") == crossing.cut("x") == b""
    assert crossing.fail(500, b"late", None).event == b""


@pytest.mark.parametrize(
    "wire", [b"", b"<html>Sign in</html>", b"5", b"data: 5\n\n", b"[1]", b"{}"]
)
def test_reply_that_is_none_fails(wire: bytes) -> None:
    crossing = carry()
    begun = crossing.feed(wire) if wire else b""
    assert lawful(begun + crossing.feed(b""))[-1]["type"] == "response.failed"
    assert carry(stream=False).whole(wire).status == 502


def test_whole_reply_that_was_cut_off_is_no_error() -> None:
    reply = carry(stream=False).whole(stream(chunk("length", content="Hi.")))
    body = json.loads(reply.body)
    assert (reply.status, reply.event, body["status"]) == (200, b"", "incomplete")
