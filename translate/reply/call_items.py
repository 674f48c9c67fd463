"""Tool calls as a Chat stream brings them, and the Responses events that they make.

Calls stay open beside each other until the reply ends: providers interleave their arguments.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from translate.mappings.outcome import COMPLETED, Outcome
from translate.reply.event_writer import EventWriter, Item
from translate.tools.freeform_input import TEXT_READERS, InputText, VerbatimText
from translate.tools.tool_map import ToolEntry, ToolMap, call_skeleton
from translate.wire import codec
from translate.wire.errors import BadReply

Delta = dict[str, Any]

CALLS_LIMIT = 1_024  # calls of one reply

BETWEEN_STRINGS = re.compile(r'[{}"]')
IN_STRING = re.compile(r'(?s)"|\\(.?)')


class ObjectScanner:
    """Finds the end of a JSON object whose text arrives in pieces.

    A call's arguments may have to be checked at each delta; parsing them each time would take their
    whole length.
    """

    def __init__(self) -> None:
        self._expected = BETWEEN_STRINGS
        self._depth = 0  # how many objects are open
        self._pending = ""  # a backslash whose character has not come
        self._has_ended = False

    def feed(self, piece: str) -> None:
        """Read on, if the object has not ended before this piece."""
        text, self._pending, position = self._pending + piece, "", 0
        while not self._has_ended and (match := self._expected.search(text, position)):
            position = match.end()
            mark = match.group()
            if mark == '"':
                in_string = self._expected is IN_STRING
                self._expected = BETWEEN_STRINGS if in_string else IN_STRING
            elif mark == "\\":
                self._pending = mark
            elif self._expected is BETWEEN_STRINGS:
                self._depth += 1 if mark == "{" else -1
                self._has_ended = self._depth <= 0

    @property
    def has_ended(self) -> bool:
        return self._has_ended


class CallArguments:
    """The arguments of a call as they grow."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._scanner = ObjectScanner()
        self._scanned_count = 0  # how many pieces the scanner has read
        self._verdict: bool | None = None  # from the object's end on: whether it is one

    def add_text(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)

    @property
    def is_empty(self) -> bool:
        return not self._length

    def join_pieces(self) -> str:
        """All arguments so far. It costs their whole length: not for every delta."""
        return "".join(self._pieces)

    def equals(self, text: str) -> bool:
        return len(text) == self._length and text == self.join_pieces()

    def is_json_object(self) -> bool:
        """Whether the arguments so far are one JSON object. They are parsed once at most."""
        for piece in self._pieces[self._scanned_count :]:
            self._scanner.feed(piece)
            if self._verdict and piece.strip():
                self._verdict = False  # text follows the object
        self._scanned_count = len(self._pieces)
        if self._verdict is None and self._scanner.has_ended:
            self._verdict = codec.is_json_object(self.join_pieces())
        return bool(self._verdict)


@dataclass
class OpenCall:
    """An open call. The client sees nothing of it until its name has come."""

    provider_id: str  # may be empty
    id: str  # the one that the client sees
    name: str = ""
    growing_arguments: CallArguments = field(default_factory=CallArguments)
    entry: ToolEntry | None = None
    output_index: int = -1
    item: Item = field(default_factory=dict)
    live_decoder: VerbatimText | InputText | None = None
    event_name: str = ""
    sent_pieces: list[str] = field(default_factory=list)  # what the client has seen
    extra_content: Any = None  # the provider wants it back with the call (Gemini)


class CallItems:
    """`feed` each delta of `tool_calls`; `close` when the reply has ended."""

    def __init__(self, tools: ToolMap, writer: EventWriter) -> None:
        self._tools = tools
        self._writer = writer
        self._open_calls: list[OpenCall] = []
        self._latest_calls: dict[object, OpenCall] = {}  # by the provider's index, and by its id

    def feed(self, delta: Delta) -> None:
        function = delta.get("function")
        function = function if isinstance(function, dict) else {}
        call = self._find_or_add_call(delta, function)
        call.extra_content = delta.get("extra_content") or call.extra_content
        new_text = _arguments_text(function.get("arguments"))
        if call.growing_arguments.equals(new_text) and codec.is_json_object(new_text):
            return  # some providers repeat the whole call at the end
        if call.entry is None and (name := function.get("name")):
            call.name = str(name)
            self._open_item(call)
            # arguments may come before the name
            new_text = call.growing_arguments.join_pieces() + new_text
            call.growing_arguments = CallArguments()
        call.growing_arguments.add_text(new_text)
        if call.live_decoder and (text := call.live_decoder.feed(new_text)):
            self._emit_delta(call, text)

    def close(self, outcome: Outcome) -> dict[str, Any]:
        """Finish the calls; returns the extra content of each that has some, by id."""
        # a call that was cut off stays open, as the relay does not invent the rest of it
        complete_calls = [
            call
            for call in self._open_calls
            if outcome is COMPLETED or call.growing_arguments.is_json_object()
        ]
        for call in complete_calls:
            self._finish_item(call)
        self._open_calls = []
        return {call.id: call.extra_content for call in complete_calls if call.extra_content}

    def _find_or_add_call(self, delta: Delta, function: Delta) -> OpenCall:
        """The call that a delta continues or begins.

        Its index, id and name may each be missing or repeated.
        """
        index, id = delta.get("index"), str(delta.get("id") or "")
        index = index if isinstance(index, int) else None
        if index is not None:
            latest = self._latest_calls.get(index)
        else:
            latest = self._latest_calls.get(id) if id else None
            if latest is None and self._open_calls and not (id and function.get("name")):
                latest = self._open_calls[-1]
        if latest and not _begins_new_call(latest, id, function):
            return latest
        return self._add_call(index, id)

    def _add_call(self, index: int | None, id: str) -> OpenCall:
        """Raises BadReply for more calls than any reply can need."""
        if len(self._open_calls) >= CALLS_LIMIT:
            raise BadReply(f"more than {CALLS_LIMIT:,} calls")
        call = OpenCall(id, self._writer.unique_call_id(id, self._tools.call_ids))
        self._open_calls.append(call)
        self._latest_calls |= {id: call} if index is None else {id: call, index: call}
        return call

    def _open_item(self, call: OpenCall) -> ToolEntry:
        entry = call.entry = self._tools.find_entry(call.name)
        kind = entry.kind
        empty = {kind.streamed_field: ""} if kind.streamed_field else kind.arguments_to_call("{}")
        item = {**call_skeleton(entry, call.id), **empty, "status": "in_progress"}
        call.output_index, call.item = self._writer.open_item(kind.id_prefix, item)
        call.event_name = kind.stream_event
        if kind.streamed_field and self._tools.passes_as_written(entry):
            call.live_decoder = TEXT_READERS[kind.streamed_field]()
        return entry

    def _emit_delta(self, call: OpenCall, text: str) -> None:
        call.sent_pieces.append(text)
        self._emit_event(call, "delta", delta=text)

    def _emit_event(self, call: OpenCall, step: str, **text: str) -> None:
        location = {"item_id": call.item["id"], "output_index": call.output_index}
        self._writer.emit(f"response.{call.event_name}.{step}", **location, **text)

    def _finish_item(self, call: OpenCall) -> None:
        # a call that never got a name passes, too: Codex answers that there is no such tool
        entry = call.entry or self._open_item(call)
        payload = self._tools.call_fields(entry, call.growing_arguments.join_pieces())
        if field_name := entry.kind.streamed_field:
            text, sent = payload[field_name], "".join(call.sent_pieces)
            if not text.startswith(sent):  # not JSON: the raw rest follows what the client has seen
                rest = call.live_decoder.rest if call.live_decoder else ""
                text = payload[field_name] = sent + rest
            if rest := text[len(sent) :]:
                self._emit_delta(call, rest)
            self._emit_event(call, "done", **{field_name: text})
        self._writer.finish_item(call.output_index, {**call.item, **payload, "status": "completed"})


def _begins_new_call(call: OpenCall, id: str, function: Delta) -> bool:
    """Whether a delta begins another call, though its index or id is this call's or missing.

    Some servers put all parallel calls on index 0 (litellm#21331), some repeat the name or
    change the id with every chunk (litellm#40040): a new call begins only after a complete one.
    """
    name = function.get("name")
    if not name or not call.name:
        return False
    if name != call.name:
        return call.growing_arguments.is_empty or call.growing_arguments.is_json_object()
    new_text = _arguments_text(function.get("arguments"))
    if id in ("", call.provider_id) and not new_text.lstrip().startswith("{"):
        return False  # nothing says that it is another call, and no arguments begin here
    if id and id == call.provider_id and call.growing_arguments.equals(new_text):
        return False
    return call.growing_arguments.is_json_object()


def _arguments_text(arguments: object) -> str:
    """The arguments as text; some servers send them parsed."""
    if isinstance(arguments, dict | list):
        return codec.json_text(arguments)
    return arguments if isinstance(arguments, str) else ""
