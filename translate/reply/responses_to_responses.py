"""The reply machine for a Responses upstream and client: events in, well-formed events out.

Upstreams differ in which events they send and how they number them. All of them send the text of
deltas and the whole items; from these the relay writes the client's events. Sans-I/O.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from translate.mappings import reasoning
from translate.mappings.outcome import (
    COMPLETED,
    FAILED,
    FILTERED,
    TOO_LONG,
    Outcome,
    SentRequest,
    complete_responses_usage,
    detect_truncation,
    estimate_usage,
    wrong_counts,
)
from translate.providers.profile import Provider
from translate.reply.event_writer import Event, EventWriter, Item
from translate.reply.upstream_items import (
    ITEM_CLASSES,
    ITEM_TYPES_BY_EVENT,
    OWN_EVENTS,
    ReplyContext,
    UpstreamItem,
    open_upstream_item,
)
from translate.tools.tool_map import ToolMap
from translate.wire import codec, sse
from translate.wire.errors import Failure, read_failure

# Flags of the finished response that pass. `end_turn` false: Codex continues at once.
PASSED_FLAGS = ("end_turn",)


class ResponsesToResponses:
    """`feed` each event, `close` when the upstream has ended; as ChatToResponses."""

    def __init__(
        self,
        response: Item,
        *,
        tools: ToolMap,
        provider: Provider,
        model: str,
        request_body: SentRequest,
    ) -> None:
        self.outcome: Outcome | None = None
        self.failure: Failure | None = None
        self._request_body = request_body
        self._title = provider.title
        self._writer = EventWriter(response)
        self._context = ReplyContext(self._writer, tools, provider, model, set())
        self._open_items = OpenItems()
        self._closed_count = 0
        self._closed_ids: set[str] = set()  # the upstream's
        self._closed_indexes: set[object] = set()  # the upstream's

    @property
    def response(self) -> Item:
        return self._writer.response

    @property
    def dropped(self) -> Sequence[str]:
        return self._writer.dropped

    def mark_dropped(self, path: str) -> None:
        self._writer.mark_dropped(path)

    def feed(self, event: Event) -> list[Event]:
        if self.outcome:
            return []
        self._writer.emit_opening()
        match event.get("type"):
            case None | "":
                self._read_body(event)
            case str(event_type) if sse.is_event_type(event_type):
                self._read_event(event_type, event)
            case _:
                self.mark_dropped("an event whose type is no name")
        return self._writer.drain()

    def _read_event(self, event_type: str, event: Event) -> None:
        name, _, step = event_type.rpartition(".")
        if handler := self.HANDLERS.get(event_type):
            handler(self, event)
        elif name in ITEM_TYPES_BY_EVENT:
            self._add_delta(name, step, event)
        else:
            self._pass_unknown(name, event_type, event)

    def mark_done(self) -> list[Event]:
        """`[DONE]` does not say how the reply ended; the event before it must have."""
        return self.close()

    def lose_connection(self, failure: Failure) -> list[Event]:
        return self.fail(failure)

    def close(self) -> list[Event]:
        """The upstream has ended; without its closing event it ended too early."""
        return self.fail(Failure(502, "server_error", f"{self._title} stopped in mid-reply"))

    def fail(self, failure: Failure) -> list[Event]:
        """End as failed. Open items stay open: the client must never execute half a call."""
        if not self.outcome:
            self._writer.emit_opening()
            self._end_failed(failure)
        return self._writer.drain()

    def heartbeat_events(self) -> list[Event]:
        if not self.outcome and not self._writer.emit_opening():
            self._writer.emit_progress()
        return self._writer.drain()

    def _end_failed(self, failure: Failure) -> None:
        self.outcome, self.failure = FAILED, failure
        self._writer.end_response(FAILED.response_status, error=failure.error_fields)

    # items

    def _add_item(self, event: Event) -> None:
        if item := _event_item(event):
            self._open_item(_event_index(event, self._next_index), item)

    @property
    def _next_index(self) -> int:
        return len(self._open_items) + self._closed_count

    def _open_item(self, index: object, item: Item) -> UpstreamItem:
        new_item = open_upstream_item(self._context, item)
        self._open_items.add(index, new_item)
        return new_item

    def _finish_item(self, event: Event) -> None:
        item = _event_item(event)
        if item is None:
            self.mark_dropped("output (an item without a type)")
            return
        if (id := _as_id(item.get("id"))) in self._closed_ids:
            return
        open_item = self._open_items.find(event, item["type"], id)
        index = self._open_items.remove_item(open_item) if open_item else None
        self._closed_count += 1
        self._closed_indexes.add(_event_index(event, index))
        self._closed_ids |= {id} if id else set()
        (open_item or open_upstream_item(self._context, item)).close(item, COMPLETED)

    def _add_delta(self, name: str, step: str, event: Event) -> None:
        """Text may begin with a delta. A call needs a name, so it waits for its whole item."""
        text = event.get("delta")
        if step != "delta" or not isinstance(text, str) or not text:
            return
        item_type = ITEM_TYPES_BY_EVENT[name]
        item = self._open_items.find(event, item_type)
        if item is None and item_type in ITEM_CLASSES:
            item = self._open_item(_event_index(event, self._next_index), {"type": item_type})
        if item:
            item.add_delta(name, text, event)

    def _pass_unknown(self, name: str, event_type: str, event: Event) -> None:
        """An event of an unknown type passes, unless its item is not in the client's reply."""
        fields = {key: v for key, v in event.items() if key not in ("type", "sequence_number")}
        if "response" in fields or name in OWN_EVENTS:
            return  # the relay sends its own
        if not fields.keys() & {"output_index", "item_id"}:
            self._writer.emit(event_type, **fields)
            return
        item = self._open_items.find(event)
        if item and (location := item.unknown_event_location()):
            self._writer.emit(event_type, **fields | location)

    # endings

    def _end_reply(self, event: Event) -> None:
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        if isinstance(usage := response.get("usage"), dict):
            self._writer.response = {**self.response, "usage": complete_responses_usage(usage)}
        for path in wrong_counts(usage):
            self.mark_dropped(path)
        outcome = _read_outcome(event, response)
        if outcome is FAILED:
            self._read_error({"error": response.get("error")})
            return
        output = response.get("output")
        self._finish_missing(output if isinstance(output, list) else [])
        for item in self._open_items.in_order():
            item.close(None, outcome)
        goes_on = response.get("end_turn") is False
        if outcome is COMPLETED and not goes_on and not self._ensure_answer():
            self._end_failed(Failure(502, "server_error", f"{self._title} sent an empty reply"))
            return
        usage = self.response["usage"] or estimate_usage(
            self._request_body, self._writer.finished_items
        )
        if counts := detect_truncation(self._request_body, usage):
            self.mark_dropped("input (it read {} of about {} tokens)".format(*counts))
        passed_fields = {
            name: response[name] for name in PASSED_FLAGS if isinstance(response.get(name), bool)
        }
        details = {"reason": outcome.incomplete_reason} if outcome.incomplete_reason else None
        self.outcome = outcome  # only now: what fails before ends the reply as failed
        self._writer.end_response(
            outcome.response_status, incomplete_details=details, usage=usage, **passed_fields
        )

    def _ensure_answer(self) -> bool:
        """Show reasoning as the answer where nothing else came; returns whether there is one."""
        items = self._writer.finished_items
        if any(item["type"] != "reasoning" for item in items):
            return True
        if text := reasoning.all_reasoning_text(items):
            part = {"type": "output_text", "text": text, "annotations": []}
            item = {"type": "message", "content": [part]}
            open_upstream_item(self._context, item).close(item, COMPLETED)
        return bool(text)

    def _finish_missing(self, output: list[Any]) -> None:
        """Finish the items of the whole response that no event has finished."""
        # some servers give every item the same index, so that the count says more
        missing_count = len(output) - self._closed_count
        unclosed = [index for index in range(len(output)) if index not in self._closed_indexes]
        for index in unclosed[: max(missing_count, 0)]:
            self._finish_item({"output_index": index, "item": output[index]})

    def _read_error(self, event: Event) -> None:
        self._end_failed(read_failure(self._title, 200, codec.dump_json(event)))

    def _read_body(self, body: Item) -> None:
        """A whole response in place of a stream, or an error without a type."""
        if isinstance(body.get("output"), list):
            self._end_reply({"response": body})
        elif body.get("error"):
            self._read_error(body)

    def _ignore_event(self, event: Event) -> None:
        """The relay has sent its own opening events."""

    HANDLERS = {
        "response.created": _ignore_event,
        "response.queued": _ignore_event,
        "response.in_progress": _ignore_event,
        "response.output_item.added": _add_item,
        "response.output_item.done": _finish_item,
        "response.completed": _end_reply,
        "response.done": _end_reply,  # OpenRouter's name for it
        "response.incomplete": _end_reply,
        "response.failed": _end_reply,
        "response.cancelled": _end_reply,
        "error": _read_error,
    }


ANY_TYPE = ""


class OpenItems:
    """The open items of a reply, by the upstream's output_index, in the order of their opening."""

    def __init__(self) -> None:
        self._indexes: dict[UpstreamItem, object] = {}
        # Each by its index; under the type or ANY_TYPE, and the upstream's id or None for any.
        self._groups: defaultdict[tuple[str, str | None], dict[object, UpstreamItem]]
        self._groups = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._indexes)

    def in_order(self) -> list[UpstreamItem]:
        return [*self._indexes]

    def add(self, index: object, item: UpstreamItem) -> None:
        if earlier := self._groups[ANY_TYPE, None].get(index):
            # some servers give every item the same index
            self.remove_item(earlier)
            self.add(object(), earlier)
        self._indexes[item] = index
        for group in self._groups_of(item):
            group[index] = item

    def remove_item(self, item: UpstreamItem) -> object:
        """Returns the item's index."""
        index = self._indexes.pop(item)
        for group in self._groups_of(item):
            del group[index]
        return index

    def find(
        self, event: Event, item_type: str = ANY_TYPE, id: str | None = None
    ) -> UpstreamItem | None:
        """The open item that an event belongs to: by id, by index, or the last of this type."""
        index, id = event.get("output_index"), id or _as_id(event.get("item_id"))
        same_id = self._groups.get((item_type, id)) if id else None
        if isinstance(index, int) and not same_id:
            return self._groups[item_type, None].get(index)
        return next(reversed((same_id or self._groups[item_type, None]).values()), None)

    def _groups_of(self, item: UpstreamItem) -> list[dict[object, UpstreamItem]]:
        types, ids = {ANY_TYPE, item.type}, {None, _as_id(item.upstream_id)}
        return [self._groups[type_, id] for type_ in types for id in ids]


def _as_id(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _event_item(event: Event) -> Item | None:
    """The event's item, if it is one."""
    item = event.get("item")
    return item if isinstance(item, dict) and isinstance(item.get("type"), str) else None


def _event_index(event: Event, default: object) -> object:
    index = event.get("output_index")
    return index if isinstance(index, int) else default


def _read_outcome(event: Event, response: Item) -> Outcome:
    """How the reply ended: the worse of the event's type and the response's status."""
    words = {str(event.get("type")).rpartition(".")[2], str(response.get("status"))}
    if response.get("error") or words & {"failed", "cancelled"}:
        return FAILED
    if "incomplete" in words:
        details = codec.json_text(response.get("incomplete_details"))
        return FILTERED if "filter" in details else TOO_LONG
    return COMPLETED
