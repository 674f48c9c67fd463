"""Parses replies of either dialect, and assembles the events of a stream into one reply.

A reply that is still streaming is incomplete; each function returns what has arrived.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from addons.views.dialects import CALL_ARGUMENTS, call_fields
from translate import is_event_stream, load_json, split_events

MAX_EVENTS = 50_000  # of a stream on a page

type Json = dict[str, Any]
# The field of an item in which a text grows, by the last part of the event's type.
DELTA_FIELDS = {
    "output_text": "content",
    "refusal": "content",
    "reasoning_text": "content",
    "reasoning_summary_text": "summary",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
}


class StreamEvent(NamedTuple):
    end_offset: int  # bytes of the body up to the end of the event
    json_value: Any  # None for a comment and for any other text that is not JSON
    raw_text: str  # "" if the event is JSON

    @property
    def is_comment(self) -> bool:
        return self.raw_text.startswith(":")


def parse_stream(body: bytes) -> Iterator[StreamEvent]:
    """The events of a stream; the last one may be incomplete."""
    for event in split_events(body):
        data = event.data or event.raw_block  # without data: a comment, or an error as bare JSON
        try:
            yield StreamEvent(event.end_offset, load_json(data), "")
        except ValueError:
            yield StreamEvent(event.end_offset, None, data.decode("utf-8", "replace"))


def shown_events(body: bytes) -> Iterator[StreamEvent]:
    """The events of a stream that a page shows: the first ones, and a note on the rest."""
    events = parse_stream(body)
    yield from islice(events, MAX_EVENTS)
    if next(events, None):
        yield StreamEvent(len(body), None, f": events after {MAX_EVENTS:,} are not read")


def parse_reply(body: bytes) -> Json:
    """A reply as one JSON object. Raises ValueError if it is neither a stream nor a JSON object."""
    if is_event_stream(body):
        return assemble_reply(event.json_value for event in shown_events(body))
    reply = load_json(body)
    if isinstance(reply, list) and reply and isinstance(reply[0], dict):
        reply = reply[0]  # Gemini wraps an error in a list
    if not isinstance(reply, dict):
        raise ValueError("not a JSON object")
    return reply


def assemble_reply(values: Iterable[Any]) -> Json:
    """The reply that the events of a stream make, in the dialect of the stream."""
    response, chat = ResponseAssembler(), ChatAssembler()
    errors: list[Any] = []
    for value in values:
        if not isinstance(value, dict):
            continue
        if isinstance(value.get("type"), str) and "choices" not in value:
            response.add_event(value["type"], value)
        else:
            chat.add_chunk(value)
        if value.get("error"):
            errors.append(value["error"])
    reply = response.to_reply() if response.has_events else chat.to_reply()
    return reply | ({"error": errors[0]} if errors else {})


class ResponseAssembler:
    """Makes one body from the events of a Responses stream."""

    def __init__(self) -> None:
        self.has_events = False
        self._snapshot: Json = {}  # the `response` of the last event that had one
        self._items: list[Json] = []
        # output_index → position in _items; they differ, as some servers count wrongly
        self._open_items: dict[str, int] = {}
        self._texts: dict[tuple[int, str], list[str]] = defaultdict(list)

    def add_event(self, type_name: str, event: Json) -> None:
        self.has_events = True
        output_index = str(event.get("output_index"))
        if isinstance(event.get("response"), dict):
            self._snapshot = event["response"]
        elif isinstance(event.get("item"), dict):
            self._set_item(type_name, output_index, event["item"])
        elif type_name.endswith(".delta") and isinstance(event.get("delta"), str):
            name = type_name.removesuffix(".delta").rpartition(".")[2]
            position = self._item_position(output_index)
            self._texts[position, DELTA_FIELDS.get(name, "content")].append(event["delta"])

    def _set_item(self, type_name: str, output_index: str, item: Json) -> None:
        is_done = type_name.endswith(".done")
        if not is_done:
            self._open_items.pop(output_index, None)
        position = self._item_position(output_index)
        self._items[position] = item
        if is_done:
            self._open_items.pop(output_index)
            for field in DELTA_FIELDS.values():
                self._texts.pop((position, field), None)

    def _item_position(self, output_index: str) -> int:
        """The position of the open item of this index; of a new item if none is open."""
        if output_index not in self._open_items:
            self._open_items[output_index] = len(self._items)
            self._items.append({"type": "message", "role": "assistant"})
        return self._open_items[output_index]

    def to_reply(self) -> Json:
        output = self._snapshot.get("output")
        if isinstance(output, list) and output:
            return self._snapshot
        items = list(self._items)
        for (position, field), pieces in self._texts.items():
            text = "".join(pieces)
            parts = [{"type": "text", "text": text}]
            value = parts if field in ("content", "summary") else text
            items[position] = {**items[position], field: value}
        return {**self._snapshot, "output": items}


class ChatAssembler:
    """Makes one body from the chunks of a Chat stream."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._texts: dict[str, list[str]] = defaultdict(list)
        self._lists: dict[str, list[Any]] = defaultdict(list)
        self._calls: list[Json] = []
        self._call_by_index: dict[str, Json] = {}
        self._finish_reason: Any = None

    def add_chunk(self, chunk: Json) -> None:
        self._head |= {
            name: value
            for name, value in chunk.items()
            if name not in ("choices", "error") and value
        }
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if not isinstance(choice, dict) or choice.get("index"):
                continue  # the relay never asks for further choices
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                self._add_delta(delta)

    def _add_delta(self, delta: Json) -> None:
        for name, value in delta.items():
            if name == "tool_calls" and isinstance(value, list):
                for call in value:
                    if isinstance(call, dict):
                        self._add_call(call)
            elif name == "function_call" and isinstance(value, dict):
                self._add_call({"index": name, "function": value})
            elif isinstance(value, str):
                self._texts[name].append(value)
            elif isinstance(value, list):
                self._lists[name] += value

    def _add_call(self, delta: Json) -> None:
        type_name, fields = call_fields(delta)
        index = str(delta.get("index", delta.get("id")))
        call = self._call_by_index.get(index)
        is_new = call and fields.get("name") and delta.get("id") not in (None, call["id"])
        if call is None or is_new:
            call = {"id": delta.get("id"), "type": type_name, "name": None, "arguments": []}
            self._call_by_index[index] = call
            self._calls.append(call)
        call["name"] = call["name"] or fields.get("name")
        call["arguments"].append(str(fields.get(CALL_ARGUMENTS[type_name]) or ""))

    def to_reply(self) -> Json:
        message: Json = {"role": "assistant"}
        message |= self._lists
        for name, pieces in self._texts.items():
            if name != "role":
                parts = self._lists.get(name)
                text = "".join(pieces)
                message[name] = [*parts, {"type": "text", "text": text}] if parts else text
        if self._calls:
            message["tool_calls"] = list(map(_assembled_call, self._calls))
        has_output = len(message) > 1 or self._finish_reason
        choices = [{"message": message, "finish_reason": self._finish_reason}]
        return {**self._head, "choices": choices if has_output else []}


def _assembled_call(call: Json) -> Json:
    type_name, arguments = call["type"], "".join(call["arguments"])
    fields = {"name": call["name"], CALL_ARGUMENTS[type_name]: arguments}
    return {"id": call["id"], type_name: fields}


class ArrivalTimes:
    """When each piece of a body arrived, from the pairs that a flow keeps as PIECE_TIMES."""

    def __init__(self, times: Any) -> None:
        pairs = [
            pair
            for pair in (times if isinstance(times, Sequence) else [])
            if isinstance(pair, Sequence) and len(pair) == 2
        ]
        self._milliseconds = [int(pair[0]) for pair in pairs]
        self._offsets = [int(pair[1]) for pair in pairs]

    def milliseconds_at(self, end_offset: int) -> int | None:
        """Milliseconds from the request until this many bytes had arrived; None if unknown."""
        index = bisect_right(self._offsets, end_offset - 1) - 1
        return self._milliseconds[index] if index >= 0 else None
