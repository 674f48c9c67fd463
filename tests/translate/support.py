"""What the tests of `translate` share: exchanges, their events, and the laws that these obey."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from translate import Exchange, ExchangeContext, Provider, load_providers, start_exchange

ROOT = Path(__file__).parents[2]
PROVIDERS = load_providers((ROOT / "translate/providers/providers.toml").read_text())
GENERIC = PROVIDERS["generic"]
ACCOUNT = PROVIDERS["chatgpt"]
END_EVENTS = {"response.completed", "response.incomplete", "response.failed"}
CALL_TYPES = {"function_call", "custom_tool_call", "tool_search_call", "local_shell_call"}

Json = dict[str, Any]
STREAMED_FIELDS = {"function_call": "arguments", "custom_tool_call": "input"}
TEXT_ITEM_TYPES = {"message", "reasoning"}
INDEXES = ("content_index", "summary_index")
EVENTS = {  # the official SDK's model of each event, by its type
    get_args(model.model_fields["type"].annotation)[0]: model
    for model in get_args(get_args(ResponseStreamEvent)[0])
}

# Codes that Codex understands and the SDK's types do not list.
WIDER_CODES = {
    "context_length_exceeded",
    "insufficient_quota",
    "server_is_overloaded",
    "slow_down",
    "usage_limit_reached",
}
ERROR_FIELDS = {"message", "type", "param", "code"}  # fields of every error in OpenAI's form


def provider(**fields: Any) -> Provider:
    return Provider.model_validate({"name": "odd", "title": "Odd", **fields})


def responses_exchange(
    request: Json | None = None, to: Provider = GENERIC, **fields: Any
) -> Exchange:
    """An exchange of a Responses client, with defaults for the fields of its request."""
    body = {"model": "gpt-5.5", "input": "Hello.", "stream": True, **(request or {}), **fields}
    return start_exchange(body, client="responses", context=context_for(to, "upstream-model"))


def chat_exchange(request: Json | None = None, to: Provider = ACCOUNT, **fields: Any) -> Exchange:
    """An exchange of a Chat client, with defaults for the fields of its request."""
    default = {"messages": [{"role": "user", "content": "Hello."}], "stream": True}
    body = {"model": "gpt-5.5", **default, **(request or {}), **fields}
    return start_exchange(body, client="chat", context=context_for(to, "upstream-model"))


def context_for(to: Provider = GENERIC, model: str = "m") -> ExchangeContext:
    return ExchangeContext(provider=to, model=model, response_id="resp_1", created_at=1)


def sent_body(request: Json | None = None, to: Provider = GENERIC, **fields: Any) -> Json:
    """The body that goes upstream."""
    body: Json = json.loads(responses_exchange(request, to, **fields).body)
    return body


def sent_messages(*items: Json, to: Provider = GENERIC) -> list[Json]:
    """The Chat messages that go upstream for these items."""
    converted: list[Json] = sent_body(to=to, input=list(items))["messages"]
    return converted


def stream(*chunks: Json | str, done: bool = True) -> bytes:
    """Chat chunks on the wire."""
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {text}\n\n" for text in [*lines, *["[DONE]"] * done]).encode()


def chunk(finish: str | None = None, **delta: Any) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def events_wire(*events: Json) -> bytes:
    """A Responses upstream's events on the wire."""
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def reply_events(
    *chunks: Json | str, exchange: Exchange | None = None, done: bool = True
) -> list[Json]:
    """The client's events for a reply of these chunks."""
    exchange = exchange or responses_exchange()
    return lawful_events(exchange.feed(stream(*chunks, done=done)) + exchange.feed(b""))


def output(events: list[Json]) -> list[Json]:
    items: list[Json] = events[-1]["response"]["output"]
    return items


def events_of(wire: bytes) -> list[Json]:
    """The events of the relay's own stream: each has one line `event:` and one line `data:`."""
    events = []
    for block in wire.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    return events


def lawful_events(wire: bytes) -> list[Json]:
    """The events of a whole client stream, checked against laws 4 and 6."""
    events = events_of(wire)
    check_well_formed(events)
    for event in events:
        check_sdk_type(event)
    return events


def check_well_formed(events: list[Json]) -> None:
    """Law 4."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    types = [event["type"] for event in events]
    assert types[:2] == ["response.created", "response.in_progress"]
    assert [event_type for event_type in types if event_type in END_EVENTS] == types[-1:]
    response = events[-1]["response"]
    assert types[-1] == f"response.{response['status']}"
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    items = _items(events)
    assert response["output"] == [item["done"] for item in items if "done" in item]
    unfinished = [item["added"]["type"] for item in items if "done" not in item]
    assert response["status"] != "completed" or not unfinished
    assert response["status"] != "incomplete" or set(unfinished) <= CALL_TYPES
    calls = [item["added"]["call_id"] for item in items if item["added"]["type"] in CALL_TYPES]
    assert len(calls) == len(set(calls))


def _items(events: list[Json]) -> list[Json]:
    """Follow each item from added to done; its texts by (event name, part)."""
    items: list[Json] = []
    for event in events:
        event_type = event["type"]
        if event_type == "response.output_item.added":
            assert event["output_index"] == len(items)
            assert event["item"]["id"] not in {item["added"]["id"] for item in items}
            items.append({"added": event["item"], "texts": {}, "parts": {}, "sources": {}})
        elif event_type == "response.output_item.done":
            item = items[event["output_index"]]
            assert "done" not in item
            item["done"] = event["item"]
            _check_finished(item)
        elif "output_index" in event:
            item = items[event["output_index"]]
            assert "done" not in item and event["item_id"] == item["added"]["id"]
            _check_growth(item, event)
    return items


def _check_growth(item: Json, event: Json) -> None:
    name, _, step = event["type"].rpartition(".")
    part: Any = next(((k, event[k]) for k in INDEXES if k in event), None)
    is_streamed = item["added"]["type"] in (*TEXT_ITEM_TYPES, *STREAMED_FIELDS)
    if not is_streamed or step not in ("added", "delta", "done"):
        return
    if name.endswith("_part"):
        steps = item["parts"].setdefault(part, [])
        steps.append(step)
        assert steps == ["added", "done"][: len(steps)]
        if step == "added":
            assert part[1] == sum(part_key[0] == part[0] for part_key in item["parts"]) - 1
            assert not event["part"].get("text")
        else:
            text = event["part"].get("text") or event["part"].get("refusal")
            assert text == item["texts"][part]["done"]
            assert event["part"].get("annotations", []) == item["sources"].get(part, [])
        return
    if name.endswith(".annotation"):
        sources = item["sources"].setdefault(part, [])
        assert event["annotation_index"] == len(sources)
        sources.append(event["annotation"])
        return
    assert part is None or item["parts"][part] == ["added"]
    texts = item["texts"].setdefault(part, {"sum": ""})
    assert "done" not in texts
    if step == "delta":
        assert event["delta"]
        texts["sum"] += event["delta"]
    else:
        fields = ("text", "refusal", "arguments", "input")
        texts["done"] = next(event[field] for field in fields if field in event)
        assert texts["done"] == texts["sum"]


def _check_finished(item: Json) -> None:
    added, done, texts = item["added"], item["done"], item["texts"]
    for field in ("id", "type", "call_id", "name", "namespace", "role"):
        assert added.get(field) == done.get(field)
    if field := STREAMED_FIELDS.get(done["type"]):
        assert texts[None]["done"] == done[field]
    for field, index in (("content", "content_index"), ("summary", "summary_index")):
        parts = done.get(field) or [] if done["type"] in TEXT_ITEM_TYPES else []
        assert [part.get("text", part.get("refusal")) for part in parts] == [
            texts[index, number]["done"] for number in range(len(parts))
        ]
        assert len([part for part in item["parts"] if part[0] == index]) == len(parts)
    assert all(steps == ["added", "done"] for steps in item["parts"].values())


def chunks_of(wire: bytes) -> list[Json]:
    """The chunks of the relay's own Chat stream; `{}` stands for a comment, `DONE` for the end."""
    blocks = wire.decode().split("\n\n")
    assert blocks.pop() == ""
    return [_chunk_of(block) for block in blocks]


DONE: Json = {"done": True}


def _chunk_of(block: str) -> Json:
    if block == ": keep-alive":
        return {}
    data = block.removeprefix("data: ")
    assert "\n" not in data and data != block
    piece: Json = DONE if data == "[DONE]" else json.loads(data)
    return piece


def lawful_chunks(wire: bytes) -> list[Json]:
    """The chunks of a whole Chat stream, checked against laws 4 and 6, without comments."""
    pieces = [chunk for chunk in chunks_of(wire) if chunk]
    *chunks, last = pieces
    if last is DONE:
        assert all("error" not in chunk for chunk in chunks)
        _check_finished_chunks(chunks)
    else:
        assert last["error"].keys() >= ERROR_FIELDS
    if chunks:
        _check_one_answer(chunks)
    return chunks if last is DONE else pieces


def _check_finished_chunks(chunks: list[Json]) -> None:
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]]
    assert reasons.pop() in ("stop", "length", "tool_calls", "content_filter", "function_call")
    assert not any(reasons)
    assert all(chunk["usage"] for chunk in chunks[len(reasons) + 1 :])
    assert len(chunks) <= len(reasons) + 2


def _check_one_answer(chunks: list[Json]) -> None:
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert [delta.get("role") for delta in deltas] == ["assistant", *[None] * (len(deltas) - 1)]
    count = 0  # of calls so far
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            begins = call["index"] == count
            count += begins
            assert 0 <= call["index"] < count
            assert begins == ("id" in call) == ("type" in call)
            assert begins == ("name" in (call.get("function") or call["custom"]))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(_without_custom_calls(chunk))


def _without_custom_calls(chunk: Json) -> Json:
    """Without custom calls, which OpenAI streams though the SDK's types do not list them."""
    narrowed: Json = json.loads(json.dumps(chunk))
    for choice in narrowed["choices"]:
        calls = choice["delta"].get("tool_calls", [])
        choice["delta"]["tool_calls"] = [call for call in calls if "custom" not in call]
    return narrowed


def lawful_completion(body: Json) -> Json:
    """A whole Chat reply, checked against law 6."""
    ChatCompletion.model_validate(body)
    return body


def check_sdk_type(event: Json) -> None:
    """Law 6: the official SDK's models accept the event, unless only ChatGPT sends it."""
    if event["type"] == "codex.rate_limits":
        return
    if event["type"] == "response.failed" and event["response"]["error"]["code"] in WIDER_CODES:
        error = {**event["response"]["error"], "code": "server_error"}
        event = {**event, "response": {**event["response"], "error": error}}
    EVENTS[event["type"]].model_validate(event)


def feed_every_way(
    decode: Callable[[Iterable[bytes]], Any], data: bytes, cut_limit: int = 600
) -> Any:
    """Law 1: every split and every newline form give the result of the whole, which it returns.

    Data above `cut_limit` bytes is fed whole and bytewise alone.
    """
    whole = decode([data])
    for form in newlines(data):
        assert decode([form]) == whole
        assert decode(bytewise(form)) == whole
        if len(form) <= cut_limit:
            for cut in range(1, len(form)):
                assert decode([form[:cut], form[cut:]]) == whole, form[:cut]
    return whole


def newlines(data: bytes) -> list[bytes]:
    """The same lines ended by LF, CRLF and CR."""
    with_lf = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return [with_lf, with_lf.replace(b"\n", b"\r\n"), with_lf.replace(b"\n", b"\r")]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def pieces(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The data, cut at any positions."""
    cuts = st.lists(st.integers(0, len(data)), max_size=8).map(sorted)
    return cuts.map(lambda at: list(_cut(data, at)))


def _cut(data: bytes, at: list[int]) -> Iterator[bytes]:
    for start, end in zip([0, *at], [*at, len(data)], strict=True):
        if start < end:
            yield data[start:end]


TEXTS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)
