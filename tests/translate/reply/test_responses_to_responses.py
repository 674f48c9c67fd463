"""The reply of an upstream of the client's own dialect; whole ones: tests/cases/responses."""

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
    carry,
    events_of,
    lawful,
    output,
    provider,
    well_formed,
)
from translate.state.compaction import TRIGGER
from translate.wire.envelope import unseal

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


def told(*events: Json, to: Any = NATIVE, **fields: Any) -> list[Json]:
    crossing = carry(to=to, **{"tools": TOOLS, **fields})
    wire = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    return lawful(crossing.feed(wire) + crossing.feed(b""))


def added(item: Json, **at: Any) -> Json:
    return {"type": "response.output_item.added", **at, "item": item}


def done(item: Json, **at: Any) -> Json:
    return {"type": "response.output_item.done", **at, "item": item}


def call(name: str, arguments: Any = "{}", **more: Any) -> Json:
    return {"type": "function_call", "call_id": "c", "name": name, "arguments": arguments, **more}


def delta(name: str, text: str, **at: Any) -> Json:
    return {"type": f"response.{name}.delta", "delta": text, **at}


def message(text: str, **more: Any) -> Json:
    part = {"type": "output_text", "text": text}
    return {"type": "message", "role": "assistant", "content": [part], **more}


def test_calls_that_are_shown_at_the_end_only_have_ids_of_their_own() -> None:
    nameless = [added({"type": "custom_tool_call"}, output_index=n) for n in (0, 1)]
    whole = [{"type": "custom_tool_call", "name": "p", "input": "", "call_id": n} for n in "ab"]
    ended = {**COMPLETED, "response": {"status": "completed", "output": whole}}
    made = output(told(*nameless, ended))
    assert len({item["id"] for item in made}) == len(made) == 2


def test_items_are_found_by_their_ids_where_no_place_is_told() -> None:
    one, two = call("f", id="a"), call("p", id="b", call_id="d")
    events = told(
        added({**one, "arguments": ""}),
        added({**two, "arguments": ""}),
        delta("function_call_arguments", '{"x":1}', item_id="a"),
        delta("function_call_arguments", '{"input":"', item_id="b"),
        delta("function_call_arguments", 'y"}', item_id="b"),
        done({**one, "arguments": '{"x":1}'}),
        done({**two, "arguments": '{"input":"y"}'}),
        COMPLETED,
    )
    assert [item.get("arguments", item.get("input")) for item in output(events)] == ['{"x":1}', "y"]


def test_arguments_that_are_parsed_or_differ_in_the_end() -> None:
    whole = told(done(call("f", {"x": 1})), COMPLETED)
    assert output(whole)[0]["arguments"] == '{"x":1}'
    other = told(
        added(call("f", "")),
        delta("function_call_arguments", '{"x": 1}'),
        done(call("f", '{"x":1}')),
        COMPLETED,
    )
    assert output(other)[0]["arguments"] == '{"x": 1}'  # as the client saw it


def test_call_whose_name_comes_last() -> None:
    events = told(
        added({"type": "function_call", "call_id": "c"}),
        delta("function_call_arguments", "{}"),
        done(call("n.g")),
        COMPLETED,
    )
    [item] = output(events)
    assert (item["namespace"], item["name"], item["arguments"]) == ("n", "g", "{}")


def test_item_that_no_event_ended_is_in_a_completed_reply() -> None:
    events = told(added(call("f", "")), delta("function_call_arguments", "{}"), COMPLETED)
    assert output(events)[0]["arguments"] == "{}"
    hosted = {"type": "web_search_call", "id": "o", "status": "completed",
              "action": {"type": "search", "query": "q"}}  # fmt: skip
    assert output(told(added(hosted), COMPLETED)) == [hosted]


@pytest.mark.parametrize("status", ["incomplete", "failed"])
def test_half_a_call_is_no_call(status: str) -> None:
    all_taken = provider(dialect="responses", tool_types=["*"])
    end = {"type": f"response.{status}", "response": {"status": status}}
    for to in (NATIVE, all_taken):
        start = added(call("f", ""), output_index=0)
        events = told(start, delta("function_call_arguments", '{"x', output_index=0), end, to=to)
        assert output(events) == []


def test_native_call_keeps_what_was_shown() -> None:
    to = provider(dialect="responses", tool_types=["*"])
    item = {"type": "custom_tool_call", "id": "u", "call_id": "c", "name": "p", "input": "other"}
    events = told(
        delta("custom_tool_call_input", "of nothing"),
        added({**item, "input": ""}),
        delta("custom_tool_call_input", "shown"),
        done(item),
        done({**item, "id": "v", "input": "two"}),
        COMPLETED,
        to=to,
    )
    one, two = output(events)
    assert (one["input"], two["input"]) == ("shown", "two")
    assert one["call_id"] == "c" != two["call_id"]


def test_native_call_whose_name_comes_last() -> None:
    begun = {"type": "custom_tool_call", "call_id": "c", "name": None, "input": ""}
    whole = {**begun, "name": "p", "input": "abc"}
    events = told(
        added(begun, output_index=0),
        delta("custom_tool_call_input", "ab", output_index=0),
        done(whole, output_index=0),
        COMPLETED,
        to=provider(dialect="responses", tool_types=["custom"]),
    )
    [item] = events[-1]["response"]["output"]
    assert (item["name"], item["input"]) == ("p", "abc")


def test_items_on_one_place_are_kept_apart() -> None:
    at = {"output_index": 0}
    events = told(
        added(message(""), **at), delta("output_text", "a", **at),
        added({"type": "reasoning"}, **at), delta("reasoning_text", "b", content_index=0, **at),
        COMPLETED,
    )  # fmt: skip
    assert [item["content"][0]["text"] for item in output(events)] == ["a", "b"]


def test_thinking_is_sealed_as_the_upstream_made_it() -> None:
    item = {"type": "reasoning", "id": "rs_9", "summary": [], "content": None,
            "encrypted_content": "sealed"}  # fmt: skip
    [made] = output(told(done(item), COMPLETED))
    envelope = unseal(made["encrypted_content"])
    assert envelope and envelope.state["item"] == {
        "type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "sealed",
    }  # fmt: skip
    assert envelope.provider == "responses" and envelope.model == "upstream-model"


def test_events_that_nobody_knows_pass_where_harmless() -> None:
    crossing = carry(to=NATIVE)
    odd: list[Json] = [
        {"type": "codex.rate_limits", "left": 5},
        {"type": "response.odd", "response": {}},
        {"type": "response.odd.step", "output_index": 7},
        added(call("f", ""), output_index=5),
        {"type": "response.odd.step", "output_index": 5},
        {"type": "response.output_item.added", "item": None},
        {"type": "response.output_item.done", "item": None},
        {"left": 5},
    ]
    wire = "".join(f"data: {json.dumps(event)}\n\n" for event in [*odd, COMPLETED])
    kinds = [event["type"] for event in events_of(crossing.feed(wire.encode()))]
    assert kinds == [
        "response.created", "response.in_progress", "codex.rate_limits",
        "response.output_item.added", "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert crossing.feed(b"data: {}\n\n") == b""
    assert crossing.response["status"] == "completed"


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
def test_failure_is_told_in_the_clients_words(event: Json, code: str) -> None:
    assert told(event)[-1]["response"]["error"]["code"] == code


def test_items_told_at_the_end_come_once() -> None:
    one, two = message("a", id="m1"), message("b", id="m2")
    end = {**COMPLETED, "response": {"output": [one, two, 5]}}
    events = told(done(one, output_index=0), end)
    assert [item["content"][0]["text"] for item in output(events)] == ["a", "b"]
    again = told(done({**one, "id": ""}, output_index=0), done({**two, "id": ""}, output_index=0),
                 {**COMPLETED, "response": {"output": [one, two]}})  # fmt: skip
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
    st.builds(added, ITEMS, output_index=st.integers(0, 2) | st.none()),
    st.builds(done, ITEMS, output_index=st.integers(0, 2) | st.none()),
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
INPUTS = [[{"role": "user", "content": "A"}, *more] for more in ([], [{"type": TRIGGER}])]


@settings(max_examples=300)
@given(
    st.lists(EVENTS, max_size=7),
    st.sampled_from(INPUTS),
    st.sampled_from([NATIVE, provider(dialect="responses", tool_types=["*"])]),
)
def test_any_events_make_a_well_formed_reply(events: list[Json], input: Any, to: Any) -> None:
    crossing = carry(to=to, tools=TOOLS, input=input)
    wire = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    well_formed(events_of(crossing.feed(wire) + crossing.feed(b"")))


def test_thinking_alone_is_shown_as_the_answer() -> None:
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "42."}]}
    events = told(added(thought), done(thought), COMPLETED)
    *_, item = events[-1]["response"]["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "42.")


def test_reply_with_nothing_fails() -> None:
    [*_, end] = told(COMPLETED)
    assert "empty" in end["response"]["error"]["message"]
    goes_on = {**COMPLETED, "response": {"status": "completed", "end_turn": False}}
    assert told(goes_on)[-1]["type"] == "response.completed"


def test_input_that_was_cut_off_is_noticed() -> None:
    crossing = carry(to=NATIVE, input="word " * 12_000)
    usage = {"input_tokens": 2048, "output_tokens": 1}
    ending = {"type": "response.completed", "response": {"status": "completed", "usage": usage}}
    wire = "".join(f"data: {json.dumps(one)}\n\n" for one in (done(message("Hi.")), ending))
    lawful(crossing.feed(wire.encode()) + crossing.feed(b""))
    assert crossing.dropped[-1].startswith("input (it read 2048 of about 15")


def test_text_under_another_name_arrives() -> None:
    for content in ("Hi.", [{"type": "text", "text": "Hi."}]):
        events = told(done({"type": "message", "role": "assistant", "content": content}), COMPLETED)
        [item] = events[-1]["response"]["output"]
        assert item["content"][0]["text"] == "Hi."


def test_calls_on_one_place_are_told_apart_by_their_ids() -> None:
    one, two = call("f", '{"a":1}', id="1", call_id="x"), call("f", '{"b":2}', id="2", call_id="y")
    begun = [{**item, "arguments": ""} for item in (one, two)]
    events = told(
        *[added(item, output_index=0) for item in begun],
        *[done(item, output_index=0) for item in (one, two)],
        COMPLETED,
    )
    found = [(item["call_id"], item["arguments"]) for item in events[-1]["response"]["output"]]
    assert found == [("x", '{"a":1}'), ("y", '{"b":2}')]
