"""Server-sent events: bytes ⇄ data fields (WHATWG HTML, section 9.2)."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from translate.wire.codec import dump_json
from translate.wire.errors import BadReply

STREAM_DONE = b"[DONE]"  # the data of the last event of a Chat stream
MAX_BYTES = 64 << 20  # size limit of one event, or of a body that is not a stream
BOM = b"\xef\xbb\xbf"
FIELD_START = re.compile(rb"\s*(?:data|event|id|retry)?:")
BLANK_LINE = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


def encode_event(fields: dict[str, Any]) -> bytes:
    """One Responses event on the wire; its name is the `type` of its data."""
    return b"event: %s\ndata: %s\n\n" % (fields["type"].encode(), dump_json(fields))


def encode_chunk(fields: dict[str, Any]) -> bytes:
    """One Chat chunk on the wire; an empty chunk becomes a comment, which clients skip."""
    return b"data: %s\n\n" % dump_json(fields) if fields else b": keep-alive\n\n"


class SseDecoder:
    """Sans-I/O decoder: `feed` takes bytes cut anywhere, and returns the data of complete events.

    LF, CRLF and CR end a line. The decoder skips event names, ids, retry times and comments.
    `flush` returns a last event that lacks its closing blank line.
    Raises BadReply for an event above MAX_BYTES.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()  # never holds a blank line; bytes would be copied by each +=
        self._last_byte = b""

    def feed(self, data: bytes) -> list[bytes]:
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
        if len(self._buffer) > MAX_BYTES:
            raise BadReply(f"an event of more than {MAX_BYTES} bytes")
        return _events_data(blocks)

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

    A JSON body counts as the data of one event, which `flush` returns. The first bytes tell which
    it is: servers mislabel the content type of both (farion1231/cc-switch#1649).
    """

    def __init__(self) -> None:
        self._decoder = SseDecoder()
        self._body = bytearray()
        self._step = self._read_start

    def feed(self, data: bytes) -> list[bytes]:
        return self._step(data)

    def flush(self) -> list[bytes]:
        body, self._body = bytes(self._body), bytearray()
        return [body] if body.strip() else self._decoder.flush()

    def _read_start(self, data: bytes) -> list[bytes]:
        self._body += data
        start = self._body.lstrip(b" \t\r\n").removeprefix(BOM).lstrip(b" \t\r\n")
        if not start or BOM.startswith(start):
            return []
        if start.startswith((b"{", b"[")):
            self._step = self._read_json
            return []
        self._step = self._decoder.feed
        body, self._body = bytes(self._body), bytearray()
        return self._decoder.feed(body)

    def _read_json(self, data: bytes) -> list[bytes]:
        self._body += data
        if len(self._body) > MAX_BYTES:
            raise BadReply(f"a body of more than {MAX_BYTES} bytes")
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
