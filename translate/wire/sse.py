"""Server-sent events: bytes ⇄ data fields (WHATWG HTML, section 9.2)."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from translate.wire.codec import dump_json
from translate.wire.errors import BadReply
from translate.wire.limits import DEFAULT_LIMITS, Limits

STREAM_DONE = b"[DONE]"  # the data of the last event of a Chat stream
WHITE_SPACE = b" \t\r\n"
BOM = b"\xef\xbb\xbf"
FIELD_START = re.compile(rb"\s*(?:data|event|id|retry)?:")
BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
EVENT_TYPE = re.compile(r"[A-Za-z0-9_.-]{1,100}")


def is_event_type(text: str) -> bool:
    """Whether a text can be the name of an event: no line break, nor anything else that is odd."""
    return bool(EVENT_TYPE.fullmatch(text))


def encode_event(fields: dict[str, Any]) -> bytes:
    """One Responses event on the wire; its name is the `type` of its data.

    A type that cannot be a name stands in the data alone, where JSON escapes it.
    """
    name = fields["type"]
    line = b"event: %s\n" % name.encode() if is_event_type(name) else b""
    return b"%sdata: %s\n\n" % (line, dump_json(fields))


def encode_chunk(fields: dict[str, Any]) -> bytes:
    """One Chat chunk on the wire; an empty chunk becomes a comment, which clients skip."""
    return b"data: %s\n\n" % dump_json(fields) if fields else b": keep-alive\n\n"


class SseDecoder:
    """Sans-I/O decoder: `feed` takes bytes cut anywhere, and returns the data of complete events.

    LF, CRLF and CR end a line. The decoder skips event names, ids, retry times and comments.
    `flush` returns a last event that lacks its closing blank line.
    Raises BadReply, once, for an event above the limit, and discards all that follows it.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limit = limits.event_bytes
        self._buffer = bytearray()  # never holds a blank line; bytes would be copied by each +=
        self._last_byte = b""
        self._step: Callable[[bytes], list[bytes]] = self._read_events

    def feed(self, data: bytes) -> list[bytes]:
        return self._step(data)

    def _read_events(self, data: bytes) -> list[bytes]:
        if b"\r" in data or self._last_byte == b"\r":
            data = self._normalise_newlines(data)
        elif data:
            self._last_byte = b""
        search_start = max(len(self._buffer) - 1, 0)
        self._buffer += data
        blocks = b""
        if (end := self._buffer.rfind(b"\n\n", search_start)) >= 0:
            blocks = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
        events = _events_data(blocks)
        if max(map(len, [self._buffer, *events])) > self._limit:
            self._step, self._buffer = _discard, bytearray()
            raise BadReply(f"an event of more than {self._limit} bytes")
        return events

    def flush(self) -> list[bytes]:
        rest, self._buffer = bytes(self._buffer), bytearray()
        # Some gateways append an error as bare JSON to the events.
        is_json = rest.strip().startswith((b"{", b"["))
        return [rest] if is_json else _events_data(rest)

    def _normalise_newlines(self, data: bytes) -> bytes:
        """Turn CRLF and CR into LF, even if a cut splits a CRLF."""
        if self._last_byte == b"\r" and data.startswith(b"\n"):
            data = data[1:]
            self._last_byte = b""
        if data:
            self._last_byte = data[-1:]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events_data(blocks: bytes) -> list[bytes]:
    """The data of each block of lines that has a data field."""
    events = []
    for block in blocks.split(b"\n\n"):
        if (data := _block_data(block)) is not None:
            events.append(data)
    return events


def _block_data(block: bytes) -> bytes | None:
    lines = [
        line[5:].removeprefix(b" ")
        for line in block.removeprefix(BOM).split(b"\n")
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None


class SseReader:
    """Reads a reply that is either a stream of events or one JSON body, with SseDecoder's contract.

    A JSON body counts as the data of one event, which `flush` returns without the white space
    before it. The first bytes tell which it is: servers mislabel the content type of both
    (farion1231/cc-switch#1649). Raises BadReply for a body above the limit of a reply, too.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._decoder = SseDecoder(limits)
        self._body_limit = limits.reply_bytes
        self._body = bytearray()
        self._step: Callable[[bytes], list[bytes]] = self._read_start

    def feed(self, data: bytes) -> list[bytes]:
        return self._step(data)

    def flush(self) -> list[bytes]:
        body, self._body = bytes(self._body), bytearray()
        return [body] if body.strip() else self._decoder.flush()

    def _read_start(self, data: bytes) -> list[bytes]:
        start = (self._body + data).lstrip(WHITE_SPACE).removeprefix(BOM).lstrip(WHITE_SPACE)
        self._body.clear()  # it holds at most the beginning of a byte order mark
        if BOM.startswith(start):
            self._body += start
            return []
        self._step = self._read_json if start.startswith((b"{", b"[")) else self._decoder.feed
        return self._step(bytes(start))

    def _read_json(self, data: bytes) -> list[bytes]:
        self._body += data
        if len(self._body) > self._body_limit:
            self._step, self._body = _discard, bytearray()
            raise BadReply(f"a body of more than {self._body_limit} bytes")
        return []


def _discard(data: bytes) -> list[bytes]:
    return []


class SseEvent(NamedTuple):
    """A block of lines in a recorded stream."""

    data: bytes | None  # None: a comment, or an error that a gateway appended as bare JSON
    raw_block: bytes
    end_offset: int  # where the block and its blank line end in the body


def is_event_stream(body: bytes) -> bool:
    """Whether a recorded body begins like a stream of events, whatever its content type says."""
    return bool(FIELD_START.match(body[:64].removeprefix(BOM)))


def split_events(body: bytes) -> Iterator[SseEvent]:
    """The blocks of a recorded stream, including comments; the last one may be incomplete."""
    start = 0
    for blank_line in BLANK_LINE.finditer(body):
        if block := body[start : blank_line.start()].strip(b"\r\n"):
            yield _to_event(block, blank_line.end())
        start = blank_line.end()
    if rest := body[start:].strip(b"\r\n"):
        yield _to_event(rest, len(body))


def _to_event(block: bytes, end: int) -> SseEvent:
    return SseEvent(_block_data(b"\n".join(block.splitlines())), block, end)
