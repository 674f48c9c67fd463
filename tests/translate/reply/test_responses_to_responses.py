"""The reply of a Responses upstream to a Responses client; whole replies: tests/cases/responses."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translate.support import (
    OBJECTS,
    PROVIDERS,
    VALUES,
    Json,
    check_well_formed,
    events_of,
    events_wire,
    lawful_events,
    output,
    provider,
    responses_exchange,
)
from translate.reply.upstream_items import PARTS_LIMIT
from translate.state.compaction import COMPACTION_TRIGGER

NATIVE = PROVIDERS["responses"]
TOOLS = [
    {"type": "function", "name": "f", "parameters": {}, "strict": None},
    {"type": "custom", "name": "p"},
    {
        "type": "namespace",
        "name": "n",
        "description": "",
        "tools": [{"type": "function", "name": "g", "parameters": {}, "strict": None}],
    },
]
COMPLETED: Json = {"type": "response.completed", "response": {"status": "completed"}}


def events_for(*events: Json, to: Any = NATIVE, **fields: Any) -> list[Json]:
    exchange = responses_exchange(to=to, **{"tools": TOOLS, **fields})
    wire = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    return lawful_events(exchange.feed(wire) + exchange.feed(b""))


def added_event(item: Json, **at: Any) -> Json:
    return {"type": "response.output_item.added", **at, "item": item}


def done_event(item: Json, **at: Any) -> Json:
    return {"type": "response.output_item.done", **at, "item": item}


def call_item(name: str, arguments: Any = "{}", **fields: Any) -> Json:
    return {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments, **fields}


def delta_event(name: str, text: str, **at: Any) -> Json:
    return {"type": f"response.{name}.delta", "delta": text, **at}


def message_item(text: str, **fields: Any) -> Json:
    part = {"type": "output_text", "text": text}
    return {"type": "message", "role": "assistant", "content": [part], **fields}


def test_events_without_an_index_belong_to_the_item_with_their_id() -> None:
    first, second = call_item("f", id="a"), call_item("p", id="b", call_id="d")
    events = events_for(
        added_event({**first, "arguments": ""}),
        added_event({**second, "arguments": ""}),
        delta_event("function_call_arguments", '{"x":1}', item_id="a"),
        delta_event("function_call_arguments", '{"input":"', item_id="b"),
        delta_event("function_call_arguments", 'y"}', item_id="b"),
        done_event({**first, "arguments": '{"x":1}'}),
        done_event({**second, "arguments": '{"input":"y"}'}),
        COMPLETED,
    )
    assert [item.get("arguments", item.get("input")) for item in output(events)] == ['{"x":1}', "y"]


def test_completed_reply_contains_items_without_an_end_event() -> None:
    events = events_for(
        added_event(call_item("f", "")), delta_event("function_call_arguments", "{}"), COMPLETED
    )
    assert output(events)[0]["arguments"] == "{}"
    hosted = {"type": "web_search_call", "id": "o", "status": "completed",
              "action": {"type": "search", "query": "q"}}  # fmt: skip
    assert output(events_for(added_event(hosted), COMPLETED)) == [hosted]


def test_items_with_the_same_index_stay_separate() -> None:
    at = {"output_index": 0}
    events = events_for(
        added_event(message_item(""), **at), delta_event("output_text", "a", **at),
        added_event({"type": "reasoning"}, **at),
        delta_event("reasoning_text", "b", content_index=0, **at),
        COMPLETED,
    )  # fmt: skip
    assert [item["content"][0]["text"] for item in output(events)] == ["a", "b"]


def test_unknown_events_pass_unless_their_item_is_not_in_the_reply() -> None:
    exchange = responses_exchange(to=NATIVE)
    odd: list[Json] = [
        {"type": "codex.rate_limits", "left": 5},
        {"type": "response.odd", "response": {}},
        {"type": "response.odd.step", "output_index": 7},
        added_event(call_item("f", ""), output_index=5),
        {"type": "response.odd.step", "output_index": 5},
        {"type": "response.output_item.added", "item": None},
        {"type": "response.output_item.done", "item": None},
        {"left": 5},
    ]
    wire = "".join(f"data: {json.dumps(event)}\n\n" for event in [*odd, COMPLETED])
    types = [event["type"] for event in events_of(exchange.feed(wire.encode()))]
    assert types == [
        "response.created", "response.in_progress", "codex.rate_limits",
        "response.output_item.added", "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert exchange.feed(b"data: {}\n\n") == b""
    assert exchange.response["status"] == "completed"


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "error", "code": "invalid_prompt", "message": "no"}, "invalid_prompt"),
        ({"type": "error", "error": {"code": "odd", "message": "no"}}, "server_error"),
        ({"error": {"message": "no"}}, "server_error"),
        ({"type": "response.failed"}, "server_error"),
        ({"type": "response.completed", "response": {"status": "failed"}}, "server_error"),
        ({"type": "response.cancelled", "response": None}, "server_error"),
        ({"output": [], "error": {"code": "rate_limit_exceeded"}}, "rate_limit_exceeded"),
    ],
)
def test_failure_has_a_code_that_the_client_knows(event: Json, code: str) -> None:
    assert events_for(event)[-1]["response"]["error"]["code"] == code


def test_items_repeated_at_the_end_come_once() -> None:
    first, second = message_item("a", id="m1"), message_item("b", id="m2")
    end = {**COMPLETED, "response": {"output": [first, second, 5]}}
    events = events_for(done_event(first, output_index=0), end)
    assert [item["content"][0]["text"] for item in output(events)] == ["a", "b"]
    same_index = [done_event({**item, "id": ""}, output_index=0) for item in (first, second)]
    again = events_for(*same_index,
                 {**COMPLETED, "response": {"output": [first, second]}})  # fmt: skip
    assert len(output(again)) == 2


ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "odd"])},
    optional={
        "id": st.sampled_from(["a", "b", ""]) | VALUES,
        "call_id": st.sampled_from(["c", "d"]) | VALUES,
        "name": st.sampled_from(["f", "p", "n__g"]) | VALUES,
        "arguments": st.sampled_from(["{}", '{"input":"x"}', "{"]) | VALUES,
        "input": VALUES,
        "content": VALUES | st.lists(OBJECTS | st.just({"type": "output_text", "text": "ab"})),
        "summary": VALUES | st.lists(st.just({"type": "summary_text", "text": "s"})),
    },
)
AT: dict[str, Any] = {
    "output_index": st.integers(0, 2) | VALUES,
    "item_id": st.sampled_from(["a", "b"]) | VALUES,
    "content_index": st.integers(0, 1) | st.text(max_size=2),
}
DELTAS = ["output_text", "refusal", "reasoning_text", "reasoning_summary_text",
          "function_call_arguments", "custom_tool_call_input"]  # fmt: skip
EVENTS = st.one_of(
    st.builds(added_event, ITEMS, output_index=st.integers(0, 2) | st.none()),
    st.builds(done_event, ITEMS, output_index=st.integers(0, 2) | st.none()),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from([f"response.{name}.delta" for name in DELTAS]),
            "delta": st.sampled_from(["a", "b", '{"input":"', "{}"]) | VALUES,
        },
        optional=AT,
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["response.completed", "response.incomplete", "error"])},
        optional={
            "response": VALUES | st.fixed_dictionaries(
                {}, optional={"output": st.lists(ITEMS, max_size=2) | VALUES, "usage": OBJECTS},
            ),
        },
    ),
    OBJECTS,
)  # fmt: skip
INPUTS = [
    [{"role": "user", "content": "A"}, *extra] for extra in ([], [{"type": COMPACTION_TRIGGER}])
]


@settings(max_examples=300)
@given(
    st.lists(EVENTS, max_size=7),
    st.sampled_from(INPUTS),
    st.sampled_from([NATIVE, provider(dialect="responses", tool_types=["*"])]),
)
def test_any_events_make_a_well_formed_reply(events: list[Json], input: Any, to: Any) -> None:
    exchange = responses_exchange(to=to, tools=TOOLS, input=input)
    wire = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    check_well_formed(events_of(exchange.feed(wire) + exchange.feed(b"")))


def test_reasoning_without_an_answer_is_shown_as_the_answer() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "42."}]}
    events = events_for(added_event(thought), done_event(thought), COMPLETED)
    *_, item = events[-1]["response"]["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "42.")


def test_empty_reply_fails_unless_the_turn_goes_on() -> None:
    [*_, end] = events_for(COMPLETED)
    assert "empty" in end["response"]["error"]["message"]
    goes_on = {**COMPLETED, "response": {"status": "completed", "end_turn": False}}
    assert events_for(goes_on)[-1]["type"] == "response.completed"


@pytest.mark.parametrize("value", [1, "false", None, []])
def test_end_of_the_turn_passes_only_as_a_flag(value: Any) -> None:
    end: Json = {**COMPLETED, "response": {"status": "completed", "end_turn": value}}
    events = events_for(done_event(message_item("Hi.")), end)
    assert "end_turn" not in events[-1]["response"]
    end["response"]["end_turn"] = False
    assert events_for(end)[-1]["response"]["end_turn"] is False


def test_shortened_input_is_reported() -> None:
    exchange = responses_exchange(to=NATIVE, input="word " * 12_000)
    usage = {"input_tokens": 2048, "output_tokens": 1}
    ending = {"type": "response.completed", "response": {"status": "completed", "usage": usage}}
    wire = "".join(
        f"data: {json.dumps(event)}\n\n" for event in (done_event(message_item("Hi.")), ending)
    )
    lawful_events(exchange.feed(wire.encode()) + exchange.feed(b""))
    assert exchange.dropped[-1].startswith("input (it read 2048 of about 15")


def test_calls_with_the_same_index_are_distinguished_by_id() -> None:
    first, second = (
        call_item("f", '{"a":1}', id="1", call_id="x"),
        call_item("f", '{"b":2}', id="2", call_id="y"),
    )
    begun = [{**item, "arguments": ""} for item in (first, second)]
    events = events_for(
        *[added_event(item, output_index=0) for item in begun],
        *[done_event(item, output_index=0) for item in (first, second)],
        COMPLETED,
    )
    calls = [(item["call_id"], item["arguments"]) for item in events[-1]["response"]["output"]]
    assert calls == [("x", '{"a":1}'), ("y", '{"b":2}')]


@pytest.mark.parametrize(
    "event_type",
    ["x\nevent: response.completed\ndata: {}\n", "x\r\n", "\ud800", "a b", "x" * 101,
     1.5, True, ["response.completed"], {"a": 1}],
)  # fmt: skip
def test_event_whose_type_is_no_name_is_dropped(event_type: Any) -> None:
    message = message_item("Hi.")
    wire = events_wire(done_event(message), {"type": event_type}, COMPLETED)
    exchange = responses_exchange(to=NATIVE)
    events = lawful_events(exchange.feed(wire) + exchange.feed(b""))
    assert events[-1]["type"] == "response.completed"
    assert exchange.dropped == ["an event whose type is no name"]


@pytest.mark.parametrize("where", [{}, {"output_index": 0}])
def test_part_events_of_the_upstream_never_pass(where: Json) -> None:
    """The relay writes its own; those of an item that has no parts would be odd for any client."""
    item = {"type": "web_search_call", "id": "ws", "status": "completed"}
    part = {"type": "response.content_part.added", **where, "part": {}}
    exchange = responses_exchange(to=NATIVE)
    wire = exchange.feed(events_wire(added_event(item, output_index=0), part))
    assert "response.content_part.added" not in {event["type"] for event in events_of(wire)}


def test_unknown_event_of_a_message_does_not_pass() -> None:
    odd = {"type": "response.odd.event", "output_index": 0}
    message = message_item("Hi.")
    events = events_for(added_event(message, output_index=0), odd, done_event(message), COMPLETED)
    assert "response.odd.event" not in {event["type"] for event in events}


def test_item_has_a_limit_of_parts() -> None:
    parts = [{"type": "output_text", "text": f"{number}."} for number in range(PARTS_LIMIT + 1)]
    message = {"type": "message", "id": "m", "content": parts}
    exchange = responses_exchange(to=NATIVE)
    exchange.feed(events_wire(done_event(message), COMPLETED))
    assert exchange.response["status"] == "failed"
    assert "more than 1,000 parts in an item" in exchange.response["error"]["message"]


def test_item_whose_type_is_empty_is_found_by_its_index() -> None:
    item = {"type": "", "id": "x"}
    exchange = responses_exchange(to=NATIVE)
    exchange.feed(events_wire(added_event(item, output_index=0), done_event(item, output_index=0)))
    exchange.feed(events_wire(COMPLETED))
    assert exchange.response["status"] == "completed" and len(exchange.response["output"]) == 1
