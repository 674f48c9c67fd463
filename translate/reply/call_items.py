"""Tool calls as a Chat stream brings them, and the Responses events that they make.

Calls stay open beside each other until the reply ends: providers interleave their arguments.
"""

from dataclasses import dataclass, field
from typing import Any

from translate.mappings.outcome import COMPLETED, Outcome
from translate.reply.event_writer import Events, Item
from translate.tools.live import LIVE, InputText, Verbatim
from translate.tools.tool_map import Entry, ToolMap, skeleton
from translate.wire import codec

Delta = dict[str, Any]


@dataclass
class Call:
    """An open call. Nothing of it is shown before its name is known."""

    place: int | None  # the provider's `index`
    given: str  # the provider's id, perhaps empty
    id: str  # the one that the client sees
    name: str = ""
    pieces: list[str] = field(default_factory=list)  # of the arguments
    entry: Entry | None = None
    index: int = -1
    item: Item = field(default_factory=dict)
    live: Verbatim | InputText | None = None
    event: str = ""
    sent: list[str] = field(default_factory=list)  # what the client has seen
    extra: Any = None  # `extra_content`, which must come back with the call (Gemini)

    @property
    def arguments(self) -> str:
        """What has come so far; joined anew each time, so not for every delta."""
        return "".join(self.pieces)


class Calls:
    """`feed` each delta of `tool_calls`; `close` when the reply has ended."""

    def __init__(self, tools: ToolMap, events: Events) -> None:
        self._tools = tools
        self._events = events
        self._open: list[Call] = []

    def feed(self, delta: Delta) -> None:
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        call = self._call(delta, function)
        call.extra = delta.get("extra_content") or call.extra
        unseen = _arguments(function.get("arguments"))
        if codec.is_object(unseen) and unseen == call.arguments:
            return  # the whole call said again, as some do at the end
        if call.entry is None and (name := function.get("name")):
            call.name = str(name)
            self._begin(call)
            unseen = call.arguments + unseen  # what came before the name
            call.pieces = []
        call.pieces.append(unseen)
        if call.live and (text := call.live.feed(unseen)):
            self._grow(call, text)

    def close(self, end: Outcome) -> dict[str, Any]:
        """Finish the calls; gives the extra content of each that has some, by id."""
        # a call that was cut off stays open: to finish it would be to invent
        whole = [call for call in self._open if end is COMPLETED or codec.is_object(call.arguments)]
        for call in whole:
            self._finish(call)
        self._open = []
        return {call.id: call.extra for call in whole if call.extra}

    def _call(self, delta: Delta, function: Delta) -> Call:
        """Which call a delta continues; index, id and name may each be missing or repeated."""
        place, given = delta.get("index"), str(delta.get("id") or "")
        place = place if isinstance(place, int) else None
        if place is not None:
            known = [call for call in self._open if call.place == place]
        else:
            known = [call for call in self._open if given and call.given == given]
            if not known and not (given and function.get("name")):
                known = self._open
        if known and not _follows(known[-1], given, function):
            return known[-1]
        call = Call(place, given, self._unique(given))
        self._open.append(call)
        return call

    def _unique(self, id_: str) -> str:
        """Codex matches outputs by id, so one id must never stand for two calls."""
        taken = self._tools.ids
        unique = id_ or self._events.id("call")
        while unique in taken:
            unique = f"{self._events.id(id_ or 'call')}_{len(taken)}"
        taken.add(unique)
        return unique

    def _begin(self, call: Call) -> Entry:
        entry = call.entry = self._tools.find(call.name)
        kind = entry.kind
        empty = {kind.live: ""} if kind.live else kind.payload("{}")
        opening = {**skeleton(entry, call.id), **empty, "status": "in_progress"}
        call.index, call.item = self._events.open(kind.id_prefix, opening)
        streams = kind.live and self._tools.as_written(entry)
        call.event, call.live = kind.event, LIVE[str(kind.live)]() if streams else None
        return entry

    def _grow(self, call: Call, text: str) -> None:
        call.sent.append(text)
        self._tell(call, "delta", delta=text)

    def _tell(self, call: Call, step: str, **text: str) -> None:
        at = {"item_id": call.item["id"], "output_index": call.index}
        self._events.emit(f"response.{call.event}.{step}", **at, **text)

    def _finish(self, call: Call) -> None:
        # a call that was never named is passed on: Codex answers that there is no such tool
        entry = call.entry or self._begin(call)
        kind = entry.kind
        payload = self._tools.payload(entry, call.arguments)
        if live := kind.live:
            whole, sent = payload[live], "".join(call.sent)
            if not whole.startswith(sent):  # not JSON: what was read, and the rest as it is
                whole = payload[live] = sent + (call.live.rest if call.live else "")
            if rest := whole[len(sent) :]:
                self._grow(call, rest)
            self._tell(call, "done", **{live: whole})
        self._events.finish(call.index, {**call.item, **payload, "status": "completed"})


def _follows(call: Call, given: str, function: Delta) -> bool:
    """Whether a delta begins another call though its index or id is this one's or missing.

    Some servers put all parallel calls on index 0 (litellm#21331), some repeat the name or
    change the id with every chunk (litellm#40040): only a whole call can be followed.
    """
    name = function.get("name")
    if not name or not call.name:
        return False
    if name != call.name:
        return codec.is_object(call.arguments or "{}")
    more = _arguments(function.get("arguments"))
    if given in ("", call.given) and not more.lstrip().startswith("{"):
        return False  # nothing tells it apart, and no arguments begin here
    if given and given == call.given and more == call.arguments:
        return False
    return codec.is_object(call.arguments)


def _arguments(arguments: object) -> str:
    """Some servers send them parsed."""
    if isinstance(arguments, dict | list):
        return codec.text(arguments)
    return arguments if isinstance(arguments, str) else ""
