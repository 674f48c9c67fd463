"""Rows for what translates: tools, mappings, reply machines, states and requests."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.linear.growth import LinearRow, cut_pieces, feed_pieces, repeat_to
from tests.translate.support import (
    ACCOUNT,
    GENERIC,
    PROVIDERS,
    Json,
    chat_exchange,
    chunk,
    context_for,
    events_wire,
    provider,
    responses_exchange,
    stream,
)
from translate import (
    BadRequest,
    Exchange,
    referenced_keys,
    replace_references,
    start_exchange,
)
from translate.mappings.outcome import SentRequest, estimate_usage
from translate.mappings.reasoning import ThinkTags, join_fields, merge_fields
from translate.mappings.stop_sequences import StopSequences
from translate.tools.freeform_input import InputText, mend_patch
from translate.tools.schema import SchemaTooComplex, normalize_schema
from translate.tools.schema_restore import restore_arguments

BEGIN = "*** Begin Patch\n"
PATCHES = {
    "blank lines": repeat_to("\n", BEGIN, "x"),
    "blank lines before a hunk": repeat_to("\n", BEGIN, "@@"),
    "files": repeat_to("*** Add File: a\n+\n", BEGIN),
    "a fence": repeat_to("+\n", f"```\n{BEGIN}*** Add File: a\n", "*** End Patch\n```"),
    "hunks": repeat_to("@@\n x\n", f"{BEGIN}*** Update File: a\n", "?"),
    "end marks": repeat_to("*** End Patch\n", BEGIN),
    "quotes": repeat_to('"', '{"input":"' + BEGIN),
    "backslashes": repeat_to("\\", '{"input":"' + BEGIN),
    "escaped lines": repeat_to('\\n"', BEGIN),
    "spaces": repeat_to(" ", '{"input":"' + BEGIN, "x"),
}
INPUTS = {
    "spaces before the head": repeat_to(" "),
    "no head": repeat_to("x"),
    "text": repeat_to("x", '{"input":"'),
    "half a pair": repeat_to("x", '{"input":"\\ud83c'),
    "text behind the end": repeat_to(" ", '{"input":"a"', "x"),
}


def _read_input(pieces: list[str]) -> None:
    reader = InputText()
    for piece in pieces:
        reader.feed(piece)
    assert reader.rest is not None


TOOL_ROWS = [
    *(LinearRow(f"patch: {name}", mend_patch, make_text) for name, make_text in PATCHES.items()),
    *(
        LinearRow(f"freeform input: {name}", _read_input, cut_pieces(make_text, length))
        for name, make_text in INPUTS.items()
        for length in (3, 1 << 16)
    ),
]

# Schemas. `size` is that of their JSON, roughly.


def _names(size: int) -> list[str]:
    return [f"p{number}" for number in range(size // 24)]


SCHEMAS: dict[str, Callable[[int], Json]] = {
    "properties": lambda size: {
        "type": "object",
        "properties": {name: {"type": "string"} for name in _names(size)},
        "required": _names(size),
    },
    "allOf": lambda size: {"allOf": [{"properties": {name: {}}} for name in _names(size)]},
    "anyOf": lambda size: {
        "anyOf": [{"type": "object", "properties": {"a": {"const": n}}} for n in _names(size)]
    },
    "tuples": lambda size: {"prefixItems": [{"const": name} for name in _names(size)]},
    "enums": lambda size: {"properties": {"a": {"enum": _names(size)}}},
    "types": lambda size: {"type": ["string", "number"] * (size // 20)},
    "references": lambda size: {
        "$defs": {"x": {"properties": {name: {} for name in _names(size // 2)}}},
        "properties": {name: {"$ref": "#/$defs/x"} for name in _names(size // 2)},
    },
}
SUBSETS = {"kimi": PROVIDERS["kimi"].subset, "openai, strict": PROVIDERS["openai"].strict}


def _normalize_with(subset: Any) -> Callable[[Json], None]:
    def run(schema: Json) -> None:
        with suppress(SchemaTooComplex):
            normalize_schema(schema, subset)

    return run


def _restore(value_and_schema: tuple[Any, Json]) -> None:
    restore_arguments(*value_and_schema)


ARGUMENTS: dict[str, Callable[[int], tuple[Any, Json]]] = {
    "nulls": lambda size: (dict.fromkeys(_names(size)), SCHEMAS["properties"](size)),
    "an enum": lambda size: (["x"] * (size // 4), {"items": {"enum": _names(size)}}),
    "alternatives": lambda size: ([{"a": 1}] * (size // 8), {"items": SCHEMAS["anyOf"](size)}),
    "joined schemas": lambda size: ({"a": None}, SCHEMAS["allOf"](size)),
}
SCHEMA_ROWS = [
    *(
        LinearRow(f"schema for {subset}: {name}", _normalize_with(rules), make_schema)
        for subset, rules in SUBSETS.items()
        for name, make_schema in SCHEMAS.items()
    ),
    *(
        LinearRow(f"arguments: {name}", _restore, make_pair)
        for name, make_pair in ARGUMENTS.items()
    ),
]

# Texts in deltas


def _merge(deltas: list[Json]) -> None:
    merged: Json = {}
    for delta in deltas:
        merge_fields(merged, delta)
    join_fields(merged)


def _repeat(*units: Any) -> Callable[[int], list[Any]]:
    return lambda size: list(units) * (size // 40)


DETAIL = {"type": "reasoning.text", "index": 0, "text": "some text"}
THINKING = {"type": "thinking", "thinking": "some text"}
SIGNED_THINKING = {**THINKING, "signature": "s"}
DELTA_ROWS = [
    LinearRow("reasoning in deltas", _merge, _repeat({"reasoning_content": "some text"})),
    LinearRow("details in deltas", _merge, _repeat({"reasoning_details": [DETAIL]})),
    LinearRow("thinking in deltas", _merge, _repeat({"thinking_blocks": [THINKING]})),
    LinearRow("signatures in deltas", _merge, _repeat({"thinking_blocks": [SIGNED_THINKING]})),
    LinearRow(
        "signatures of calls",
        _merge,
        lambda size: [{"calls": {name: "x"}} for name in _names(size)],
    ),
    LinearRow("think tags: spaces", feed_pieces(ThinkTags), cut_pieces(repeat_to(" "), 4)),
    LinearRow(
        "think tags: thinking", feed_pieces(ThinkTags), cut_pieces(repeat_to("<", "<think>"), 4)
    ),
    LinearRow(
        "stop sequences: half of one",
        feed_pieces(lambda: StopSequences(["a" * 100 + "b"])),
        cut_pieces(repeat_to("a"), 4),
    ),
]

# Requests


def _start(request: tuple[Json, str, Any]) -> None:
    body, client, to = request
    with suppress(BadRequest):
        start_exchange(body, client=client, context=context_for(to))  # type: ignore[arg-type]


def _input_of(*units: Json, to: Any = GENERIC, **fields: Any) -> Callable[[int], Any]:
    length = len(json.dumps(units))
    return lambda size: (
        {"model": "m", "input": list(units) * (size // length), **fields}, "responses", to,
    )  # fmt: skip


CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
ANSWER = {"type": "message", "role": "assistant", "content": "Hi."}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
NATIVE = provider(dialect="responses")
HISTORIES: dict[str, tuple[Json, ...]] = {
    "calls and outputs with one id": (CALL, OUTPUT),
    "calls with one id": (CALL,),
    "outputs without calls": (OUTPUT,),
    "answers": (ANSWER,),
    "calls and answers": (CALL, ANSWER),
    "reasoning": (REASONING,),
    "wrong items": (),
}
REQUEST_ROWS = [
    *(
        LinearRow(f"history for {to.name}: {name}", _start, _input_of(*units, to=to))
        for name, units in HISTORIES.items()
        if units
        for to in (GENERIC, NATIVE, ACCOUNT)
    ),
    LinearRow(
        "input of numbers",
        _start,
        lambda size: (
            {"model": "m", "input": [1] * (size // 2)},
            "responses",
            GENERIC,
        ),
    ),
    LinearRow(
        "include of numbers",
        _start,
        lambda size: (
            {"model": "m", "input": "x", "include": [1] * (size // 2)},
            "responses",
            GENERIC,
        ),
    ),
    *(
        LinearRow(
            f"tools for {to.name}",
            _start,
            lambda size, to=to: (
                {
                    "model": "m",
                    "input": "x",
                    "tools": [
                        {"type": "function", "name": name, "parameters": {}}
                        for name in _names(size)
                    ],
                },
                "responses",
                to,
            ),
        )
        for to in (GENERIC, ACCOUNT)
    ),
]

# Replies: `feed` takes the events one by one


def _feed_reply(new_exchange: Callable[[], Exchange]) -> Callable[[list[bytes]], None]:
    def run(pieces: list[bytes]) -> None:
        exchange = new_exchange()
        for piece in pieces:
            exchange.feed(piece)
        exchange.feed(b"")

    return run


def _take_whole(new_exchange: Callable[[], Exchange]) -> Callable[[list[bytes]], None]:
    return lambda pieces: new_exchange().whole_reply(b"".join(pieces)) and None


def _call(**fields: Any) -> Json:
    name = {"name": fields.pop("name")} if "name" in fields else {}
    return chunk(tool_calls=[{**fields, "function": {**name, "arguments": fields.pop("text", "")}}])


CHAT_REPLIES: dict[str, Callable[[int], list[Json]]] = {
    "text": _repeat(chunk(content="x")),
    "reasoning": _repeat(chunk(reasoning_content="x")),
    "text and refusals": _repeat(chunk(content="x"), chunk(refusal="x")),
    "text and reasoning": _repeat(chunk(content="x"), chunk(reasoning_content="x")),
    "arguments": lambda size: [
        _call(index=0, id="c", name="f"),
        *[_call(index=0, text="{")] * (size // 40),
    ],
    "arguments that are whole": _repeat(_call(index=0, text="{}")),
    "names of one call": _repeat(
        _call(index=0, name="f", text="{"), _call(index=0, name="g", text="}")
    ),
    "ids of one call": lambda size: [
        _call(index=0, id=name, name="f", text="}") for name in _names(size)
    ],
    "calls": lambda size: [
        _call(index=number, id=name, name="f", text="{}")
        for number, name in enumerate(_names(size))
    ],
    "calls without a name": lambda size: [_call(index=number) for number in range(size // 40)],
    "other choices": lambda size: [
        {"choices": [{"index": number, "delta": {}}]} for number in range(1, size // 40)
    ],
    "sources": lambda size: [{"citations": [name], "choices": []} for name in _names(size)],
    "log probabilities": _repeat(
        chunk(content="x")
        | {
            "choices": [
                {
                    "index": 0,
                    "delta": {"content": "x"},
                    "logprobs": {"content": [{"token": "abcdef", "logprob": -1}]},
                }
            ]
        }
    ),
}
DELTA = {"type": "response.output_text.delta", "output_index": 0, "delta": "x"}
ADDED = {"type": "response.output_item.added"}
DONE = {"type": "response.output_item.done"}
RESPONSES_REPLIES: dict[str, Callable[[int], list[Json]]] = {
    "text": _repeat(DELTA),
    "parts": lambda size: [{**DELTA, "content_index": n} for n in range(size // 40)],
    "open items": lambda size: [
        {**ADDED, "output_index": n, "item": {"type": "message", "id": f"m{n}"}}
        for n in range(size // 40)
    ],
    "closed items": lambda size: [
        {**DONE, "output_index": n, "item": {"type": "x", "id": f"m{n}"}} for n in range(size // 40)
    ],
    "items in one place": _repeat({**ADDED, "output_index": 0, "item": {"type": "x"}}, DELTA),
    "input of a native tool": lambda size: [
        {
            **ADDED,
            "output_index": 0,
            "item": {"type": "custom_tool_call", "call_id": "c", "name": "x"},
        },
        *[{"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "x"}]
        * (size // 40),
    ],
    "one item with many parts": lambda size: [
        {
            **DONE,
            "output_index": 0,
            "item": {
                "type": "message",
                "content": [
                    {"type": "output_text", "text": f"t{number}"} for number in range(size // 40)
                ],
            },
        }
    ],
}
EXCHANGES: dict[str, Callable[[Any], Exchange]] = {
    "Responses": lambda to: responses_exchange(to=to),
    "Chat": lambda to: chat_exchange(to=to, stop=["xy"]),
}


def _wire_of(make_events: Callable[[int], list[Json]], to: Any) -> Callable[[int], list[bytes]]:
    def make_wire(size: int) -> list[bytes]:
        wire = (lambda event: stream(event, done=False)) if to.dialect == "chat" else events_wire
        return [wire(event) for event in make_events(size)]

    return make_wire


REPLY_ROWS = [
    LinearRow(f"reply of {to.name} for {client}, {way}: {name}",
              work(lambda new=new, to=to: new(to)), _wire_of(make_events, to))
    for to, replies in ((GENERIC, CHAT_REPLIES), (ACCOUNT, RESPONSES_REPLIES))
    for name, make_events in replies.items()
    for client, new in EXCHANGES.items()
    for way, work in (("streamed", _feed_reply), ("whole", _take_whole))
]  # fmt: skip


def _resolve(body: Json) -> None:
    ids = referenced_keys(body, "ada").values()
    replace_references(body, {id: {"type": "message", "id": id} for id in ids})


def _references(size: int) -> Json:
    return {"input": [{"type": "item_reference", "id": f"msg_{n}"} for n in range(size // 40)]}


def _texts(size: int) -> list[Json]:
    return [{"content": [{"text": "word " * 8} for _ in range(size // 40)], "name": "x" * size}]


STATE_ROWS = [
    LinearRow("item references", _resolve, _references),
    LinearRow("one item, many references", _resolve, lambda size: {
        "input": [{"id": "msg_1"}] * (size // 20)
    }),
    LinearRow("estimate of a reply", lambda items: estimate_usage(SentRequest(b"{}"), items),
              _texts),
]  # fmt: skip

TRANSLATE_ROWS = [
    *TOOL_ROWS, *SCHEMA_ROWS, *DELTA_ROWS, *REQUEST_ROWS, *REPLY_ROWS, *STATE_ROWS
]  # fmt: skip
