"""The laws that hold for every case, machine and input."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translate.cases import RESPONSES_CASES, Case
from tests.translate.support import (
    OBJECTS,
    TEXTS,
    VALUES,
    Json,
    check_well_formed,
    events_of,
    feed_every_way,
    lawful_events,
    newlines,
    pieces,
    responses_exchange,
    stream,
)
from translate.state.compaction import COMPACTION_TRIGGER
from translate.tools.kinds import KIND_BY_CALL_TYPE, KINDS, NAMED_TOOL_TYPES, Kind
from translate.tools.tool_map import ToolMap, call_skeleton
from translate.wire import sse

REPLIES = [case for case in RESPONSES_CASES if case.reply]
each = pytest.mark.parametrize("case", REPLIES, ids=str)


def run(case: Case, parts: Iterable[bytes]) -> bytes:
    exchange = case.start_exchange()
    return b"".join(exchange.feed(part) for part in parts) + exchange.feed(b"")


# 1. every split


@each
def test_every_split_gives_the_same_data(case: Case) -> None:
    def read(parts: Iterable[bytes]) -> list[bytes]:
        reader = sse.SseReader()
        return [piece for part in parts for piece in reader.feed(part)] + reader.flush()

    if case.reply.startswith((b"data", b"event")):
        feed_every_way(read, case.reply, cut_limit=2_000)
    else:  # one JSON body: its newlines are its own
        assert read(case.reply[at : at + 1] for at in range(len(case.reply))) == read([case.reply])


@each
def test_every_split_gives_the_same_events(case: Case) -> None:
    feed_every_way(lambda parts: run(case, parts), case.reply, cut_limit=0)


@each
@settings(max_examples=10)
@given(st.data())
def test_any_splits_give_the_same_events(case: Case, data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(newlines(case.reply)))
    assert run(case, data.draw(pieces(form))) == run(case, [case.reply])


def test_every_split_of_every_kind_of_text_gives_the_same_events() -> None:
    deltas = ["<think>é", "🍞</thi", "nk>\n", "naïve", "日本"]
    chunks = [{"choices": [{"delta": {"content": text}}]} for text in deltas]
    texts = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks]
    wire = b": hi\n\n" + "".join(f"data: {text}\n\n" for text in texts).encode()

    def events(parts: Iterable[bytes]) -> bytes:
        exchange = responses_exchange()
        return b"".join(exchange.feed(part) for part in parts) + exchange.feed(stream())

    lawful_events(feed_every_way(events, wire))


# 2. kind round trip

PAYLOADS = {
    "function": st.fixed_dictionaries({"arguments": OBJECTS.map(json.dumps)}),
    "custom": st.fixed_dictionaries({"input": st.text()}),
    "tool_search": st.fixed_dictionaries({"execution": st.just("client"), "arguments": OBJECTS}),
    "local_shell": st.fixed_dictionaries(
        {
            "action": st.fixed_dictionaries(
                {
                    "type": st.just("exec"),
                    "command": st.lists(TEXTS),
                    "env": st.dictionaries(TEXTS, TEXTS, max_size=2),
                },
                optional={"timeout_ms": st.integers(0), "working_directory": TEXTS},
            )
        }
    ),
}


def items(kind: Kind) -> st.SearchStrategy[Json]:
    fields: dict[str, st.SearchStrategy[object]] = {
        "type": st.just(kind.call_type),
        "call_id": st.text(min_size=1),
    }
    optional: dict[str, st.SearchStrategy[object]] = {}
    if kind.tool_type in NAMED_TOOL_TYPES:
        fields["name"] = st.text(min_size=1)
        optional["namespace"] = st.text(min_size=1)
    item = st.fixed_dictionaries(fields, optional=optional)
    return st.builds(
        lambda item_fields, payload: item_fields | payload, item, PAYLOADS[kind.tool_type]
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.tool_type)
@given(st.data())
def test_call_survives_the_round_trip(kind: Kind, data: st.DataObject) -> None:
    item = data.draw(items(kind))
    tools = ToolMap()
    call = json.loads(json.dumps(tools.call_to_chat(item)))
    assert isinstance(json.loads(call["function"]["arguments"]), dict)
    entry = tools.find_entry(call["function"]["name"])
    fields = tools.call_fields(entry, call["function"]["arguments"])
    assert call_skeleton(entry, call["id"]) | fields == item


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.tool_type)
@settings(max_examples=30)
@given(st.data())
def test_call_survives_the_stream(kind: Kind, data: st.DataObject) -> None:
    item = data.draw(items(kind))
    call = ToolMap().call_to_chat(item)
    tool: Json = {"type": kind.tool_type, "parameters": {}, "strict": None}
    if kind.tool_type in NAMED_TOOL_TYPES:
        tool["name"] = item["name"]
    if "namespace" in item:
        tool = {
            "type": "namespace", "name": item["namespace"], "description": "", "tools": [tool],
        }  # fmt: skip
    exchange = responses_exchange(tools=[tool])
    text = call["function"]["arguments"]
    cut = data.draw(st.integers(0, len(text)))
    name = call["function"]["name"]
    deltas = [
        {"index": 0, "id": item["call_id"], "function": {"name": name, "arguments": text[:cut]}},
        {"index": 0, "function": {"arguments": text[cut:]}},
    ]
    chunks = [{"choices": [{"delta": {"tool_calls": [delta]}}]} for delta in deltas]
    [received] = lawful_events(exchange.feed(stream(*chunks)))[-1]["response"]["output"]
    assert {key: received[key] for key in item} == item


def test_every_kind_is_in_the_round_trip() -> None:
    assert PAYLOADS.keys() == {kind.tool_type for kind in KINDS}
    assert len(KIND_BY_CALL_TYPE) == len(KINDS)


# 4. well-formed, also where the connection is lost

END_MARKS = (b'"finish_reason": "', b"[DONE]", b'"response.completed"', b'"response.incomplete"')


@each
def test_interrupted_reply_ends_once_and_failed(case: Case) -> None:
    blocks = case.reply.split(b"\n\n")
    for count in range(len(blocks)):
        exchange = case.start_exchange()
        exchange.streaming = True
        wire = exchange.feed(b"\n\n".join(blocks[:count]) + b"\n\n") if count else b""
        wire += exchange.heartbeat() + exchange.interrupt("connection reset")
        events = lawful_events(wire)
        received = b"".join(blocks[:count])
        finished = any(mark in received for mark in END_MARKS)
        assert finished or events[-1]["type"] == "response.failed"
        assert (
            exchange.feed(case.reply) == exchange.interrupt("again") == exchange.heartbeat() == b""
        )


@each
def test_heartbeats_anywhere_change_no_other_event(case: Case) -> None:
    exchange = case.start_exchange()
    exchange.streaming = True
    wire = b"".join(
        exchange.heartbeat() + exchange.feed(block + b"\n\n")
        for block in case.reply.split(b"\n\n")
        if block
    )
    events = events_of(wire + exchange.feed(b""))
    check_well_formed(events)

    def without_heartbeats(stream: list[Json]) -> list[Json]:
        others = [event for event in stream if event["type"] != "response.in_progress"]
        return [{**event, "sequence_number": 0} for event in others]

    assert without_heartbeats(events) == without_heartbeats(events_of(run(case, [case.reply])))


# 5. total

CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "choices": VALUES
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": VALUES,
                    "finish_reason": st.sampled_from(["stop", "length", "error", "", None])
                    | VALUES,
                    "delta": VALUES
                    | st.fixed_dictionaries(
                        {},
                        optional={
                            "content": VALUES,
                            "reasoning": VALUES,
                            "reasoning_details": VALUES | st.lists(OBJECTS, max_size=2),
                            "thinking_blocks": VALUES | st.lists(OBJECTS, max_size=2),
                            "refusal": VALUES,
                            "tool_calls": VALUES
                            | st.lists(
                                st.fixed_dictionaries(
                                    {},
                                    optional={
                                        "index": st.sampled_from([0, 1]) | VALUES,
                                        "id": st.sampled_from(["a", "b", ""]) | VALUES,
                                        "function": VALUES
                                        | st.fixed_dictionaries(
                                            {},
                                            optional={
                                                "name": st.sampled_from(["f", "p", "tool_search"])
                                                | VALUES,
                                                "arguments": VALUES
                                                | st.sampled_from(['{"input":"', '\\n"}', "{}"]),
                                            },
                                        ),
                                    },
                                ),
                                max_size=3,
                            ),
                        },
                    ),
                },
            ),
            max_size=2,
        ),
        "usage": VALUES | OBJECTS,
        "error": VALUES,
    },
)
INPUTS = [
    [{"role": "user", "content": "A"}, *extra] for extra in ([], [{"type": COMPACTION_TRIGGER}])
]
TOOLS = [{"type": "function", "name": "f"}, {"type": "custom", "name": "p"}]


@settings(max_examples=300)
@given(st.lists(CHUNKS, max_size=6), st.booleans(), st.sampled_from(INPUTS))
def test_any_chunks_make_a_well_formed_reply(
    chunks: list[Json], done: bool, input: list[Json]
) -> None:
    exchange = responses_exchange(tools=TOOLS, input=input)
    wire = exchange.feed(stream(*chunks, done=done))
    check_well_formed(events_of(wire + exchange.feed(b"")))


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_make_a_well_formed_reply(parts: list[bytes]) -> None:
    exchange = responses_exchange()
    wire = b"".join(exchange.feed(part) for part in parts if part)
    check_well_formed(events_of(wire + exchange.feed(b"")))


@each
@settings(max_examples=8)
@given(st.data())
def test_damaged_reply_ends_well_formed(case: Case, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(case.reply)))
    damage = data.draw(st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"\n\n", b"data:"]))
    exchange = case.start_exchange()
    wire = exchange.feed(case.reply[:at] + damage + case.reply[at + len(damage) :])
    check_well_formed(events_of(wire + exchange.feed(b"")))


@given(st.integers(100, 599), st.binary() | st.sampled_from([b"[" * 5_000 + b"]" * 5_000, b"[]"]))
def test_any_error_body_becomes_an_error(status: int, body: bytes) -> None:
    reply = responses_exchange().error_reply(status, body, None)
    assert reply.status == 200 or json.loads(reply.body)["error"]["message"]
    assert reply.status != 200 or reply.body == reply.stream_events
    lawful_events(reply.stream_events)


@given(st.binary())
def test_any_whole_body_becomes_a_reply(body: bytes) -> None:
    assert json.loads(responses_exchange(stream=False).whole_reply(body).body)
