"""The reply machine for an upstream of the client's own dialect: events in, lawful events out.

Upstreams differ in which events they send and how they number them; what all of them tell is the
text of deltas and the whole items. From these the client's events are made anew. Sans-I/O.
"""

from typing import Any

from translate.mappings import reasoning
from translate.mappings.outcome import (
    COMPLETED,
    FAILED,
    FILTERED,
    TOO_LONG,
    Outcome,
    estimate,
    shortened,
    usage_of_responses,
)
from translate.providers.profile import Provider
from translate.reply.event_writer import Event, Events, Item
from translate.reply.upstream_items import FORMS, OPENING, Growing, Upstream, growing
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.errors import Failure, failure

# What else a client reads of the finished response: Codex asks on at once where a turn goes on.
KEPT = ("end_turn",)


class ResponsesToResponses:
    """`feed` each event, `close` when the upstream has ended; as ChatToResponses."""

    def __init__(
        self, response: Item, *, tools: ToolMap, provider: Provider, model: str, sent: bytes
    ) -> None:
        self._sent = sent
        self.ended: Outcome | None = None
        self.failure: Failure | None = None
        self._title = provider.title
        self._events = Events(response)
        self._upstream = Upstream(self._events, tools, provider, model, set())
        self._open: dict[object, Growing] = {}  # by the upstream's output_index
        self._done: list[tuple[object, object]] = []  # output_index and id of what is done

    @property
    def response(self) -> Item:
        return self._events.response

    def feed(self, event: Event) -> list[Event]:
        if self.ended:
            return []
        self._events.begin()
        kind = str(event.get("type") or "")
        name, _, step = kind.rpartition(".")
        if handler := self.HANDLERS.get(kind):
            handler(self, event)
        elif name in OPENING:
            self._text(name, step, event)
        elif kind:
            self._pass(kind, event)
        else:
            self._body(event)
        return self._events.drain()

    def done(self) -> list[Event]:
        """`[DONE]`: no word of how the reply ended, which an event of its own tells."""
        return self.close()

    def lost(self, why: Failure) -> list[Event]:
        return self.fail(why)

    def close(self) -> list[Event]:
        """The upstream has ended; without its closing event it ended too early."""
        return self.fail(Failure(502, "server_error", f"{self._title} stopped in mid-reply"))

    def fail(self, why: Failure) -> list[Event]:
        """End as failed. What is open stays open: half a call must never be executed."""
        if not self.ended:
            self._events.begin()
            self._fail(why)
        return self._events.drain()

    def heartbeat(self) -> list[Event]:
        """An event that says nothing new, for clients that count silence."""
        if not self.ended and not self._events.begin():
            self._events.progress()
        return self._events.drain()

    def _fail(self, why: Failure) -> None:
        self.ended, self.failure = FAILED, why
        self._events.end(FAILED.status, error=why.error)

    # items

    def _added(self, event: Event) -> None:
        if item := _item(event):
            self._begin(_place(event, len(self._open) + len(self._done)), item)

    def _begin(self, place: object, item: Item) -> Growing:
        if place in self._open:  # a server that gives every item the same place
            self._open[object()] = self._open.pop(place)
        opened = self._open[place] = growing(self._upstream, item)
        return opened

    def _finished(self, event: Event) -> None:
        again = [given for _, given in self._done if given]
        if (item := _item(event)) and item.get("id") not in again:
            found = self._at(event, str(item.get("type")), item.get("id"))
            place = _place(event, found and found[0])
            self._finish(found[1] if found else growing(self._upstream, item), place, item)

    def _finish(self, one: Growing, place: object, item: Item) -> None:
        self._open = {key: open_ for key, open_ in self._open.items() if open_ is not one}
        self._done.append((place, item.get("id")))
        one.close(item, COMPLETED)

    def _at(self, event: Event, type: str, given: object = None) -> tuple[object, Growing] | None:
        """The open item of this type that an event belongs to: by place, by id, or the last."""
        place, given = event.get("output_index"), given or event.get("item_id")
        alike = [(key, one) for key, one in self._open.items() if type in ("", one.type)]
        named = [(key, one) for key, one in alike if given and one.given == given]
        if isinstance(place, int) and not named:
            return next(((key, one) for key, one in alike if key == place), None)
        return next(iter(reversed(named or alike)), None)

    def _text(self, name: str, step: str, event: Event) -> None:
        """A delta. Speech may begin with it; a call, which has a name, is else told when whole."""
        text = event.get("delta")
        if step != "delta" or not isinstance(text, str) or not text:
            return
        type = OPENING[name]
        found = self._at(event, type)
        if found:
            found[1].grow(name, text, event)
        elif type in FORMS:
            place = _place(event, len(self._open) + len(self._done))
            self._begin(place, {"type": type}).grow(name, text, event)

    def _pass(self, kind: str, event: Event) -> None:
        """An event that nobody here knows: as it is, unless it speaks of what is not there."""
        fields = {name: v for name, v in event.items() if name not in ("type", "sequence_number")}
        if "response" in fields:
            return  # that is ours
        if not fields.keys() & {"output_index", "item_id"}:
            self._events.emit(kind, **fields)
        elif (found := self._at(event, "")) and (at := found[1].place(event)):
            self._events.emit(kind, **fields | at)

    # endings

    def _ended(self, event: Event) -> None:
        said = event.get("response")
        said = said if isinstance(said, dict) else {}
        if isinstance(usage := said.get("usage"), dict) and any(usage.values()):
            self._events.response = {**self.response, "usage": usage_of_responses(usage)}
        end = _outcome(event, said)
        if end is FAILED:
            self._error({"error": said.get("error")})
            return
        output = said.get("output")
        self._rest(output if isinstance(output, list) else [])
        for one in self._open.values():
            one.close(None, end)
        if end is COMPLETED and said.get("end_turn") is not False and not self._answered():
            self._fail(Failure(502, "server_error", f"{self._title} sent an empty reply"))
            return
        self.ended = end
        items = self._items()
        usage = self.response["usage"] or estimate(self._sent, items)
        if far := shortened(self._sent, usage):
            self._upstream.tools.dropped.append(
                "input (it read {} of about {} tokens)".format(*far)
            )
        kept = {name: said[name] for name in KEPT if name in said}
        details = {"reason": end.reason} if end.reason else None
        self._events.end(end.status, incomplete_details=details, usage=usage, **kept)

    def _items(self) -> list[Item]:
        return [item for item in self._events.items if item is not None]

    def _answered(self) -> bool:
        """Whether the turn has something to show. Thinking alone is shown as its answer, as for a
        Chat upstream."""
        if any(item["type"] != "reasoning" for item in self._items()):
            return True
        if thought := reasoning.thoughts(self._items()):
            part = {"type": "output_text", "text": thought, "annotations": []}
            item = {"type": "message", "content": [part]}
            growing(self._upstream, item).close(item, COMPLETED)
        return bool(thought)

    def _rest(self, output: list[Any]) -> None:
        """Items that were told at the end only, or whose own end was not told."""
        places = {place for place, _ in self._done}
        missing = len(output) - len(self._done)  # some servers give all items one place
        unknown = [place for place in range(len(output)) if place not in places][: max(missing, 0)]
        for place in unknown:
            self._finished({"output_index": place, "item": output[place]})

    def _error(self, event: Event) -> None:
        self._fail(failure(self._title, 200, codec.dumps(event)))

    def _body(self, body: Item) -> None:
        """A whole response in place of a stream, or an error without a type."""
        if isinstance(body.get("output"), list):
            self._ended({"response": body})
        elif body.get("error"):
            self._error(body)

    def _nothing(self, event: Event) -> None:
        """The beginning is told by ourselves."""

    HANDLERS = {
        "response.created": _nothing,
        "response.queued": _nothing,
        "response.in_progress": _nothing,
        "response.output_item.added": _added,
        "response.output_item.done": _finished,
        "response.completed": _ended,
        "response.done": _ended,  # OpenRouter's name for it
        "response.incomplete": _ended,
        "response.failed": _ended,
        "response.cancelled": _ended,
        "error": _error,
    }


def _item(event: Event) -> Item | None:
    """The event's item, if it is one."""
    item = event.get("item")
    return item if isinstance(item, dict) and isinstance(item.get("type"), str) else None


def _place(event: Event, otherwise: object) -> object:
    place = event.get("output_index")
    return place if isinstance(place, int) else otherwise


def _outcome(event: Event, said: Item) -> Outcome:
    """How a reply ended: the worse of what the event's name and the response's status say."""
    words = {str(event.get("type")).rpartition(".")[2], str(said.get("status"))}
    if said.get("error") or words & {"failed", "cancelled"}:
        return FAILED
    if "incomplete" in words:
        return FILTERED if "filter" in codec.text(said.get("incomplete_details")) else TOO_LONG
    return COMPLETED
