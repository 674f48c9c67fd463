"""Server-sent events: bytes ⇄ data fields (WHATWG HTML, section 9.2)."""

from typing import Any

from translate.wire.codec import dumps
from translate.wire.errors import BadReply

DONE = b"[DONE]"
LIMIT = 64 << 20  # bytes of one event, or of a body that is no stream
BOM = b"\xef\xbb\xbf"


def event(fields: dict[str, Any]) -> bytes:
    """One Responses event on the wire; its name is the `type` of its data."""
    return b"event: %s\ndata: %s\n\n" % (fields["type"].encode(), dumps(fields))


def chunk(fields: dict[str, Any]) -> bytes:
    """One Chat chunk on the wire; one that says nothing is a comment, which every reader skips."""
    return b"data: %s\n\n" % dumps(fields) if fields else b": keep-alive\n\n"


class Decoder:
    """Sans-I/O decoder: `feed` bytes cut anywhere, get the data of each complete event.

    LF, CRLF and CR end a line. Names, ids, retry and comments are of no use here and are
    passed over. `flush` gives what an upstream left without its closing blank line.
    Raises BadReply for an event above LIMIT.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._last = b""

    def feed(self, data: bytes) -> list[bytes]:
        if b"\r" in data or self._last == b"\r":
            data = self._newlines(data)
        elif data:
            self._last = b""
        blocks = b""
        if b"\n" in data:
            blocks, _, self._buffer = (self._buffer + data).rpartition(b"\n\n")
        else:  # a piece of a line: cheap, however long the line becomes
            self._buffer += data
        if len(self._buffer) > LIMIT:
            raise BadReply(f"an event of more than {LIMIT} bytes")
        return _data(blocks)

    def flush(self) -> list[bytes]:
        """An error may stand behind the events as bare JSON, as gateways append it."""
        rest, self._buffer = self._buffer, b""
        bare = rest.strip().startswith((b"{", b"["))
        return [rest] if bare else _data(rest)

    def _newlines(self, data: bytes) -> bytes:
        """Turn CRLF and CR into LF; a CRLF may be cut in the middle."""
        if self._last == b"\r" and data.startswith(b"\n"):
            data = data[1:]
            self._last = b""
        if data:
            self._last = data[-1:]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data(blocks: bytes) -> list[bytes]:
    found = []
    for block in blocks.split(b"\n\n"):
        lines = [
            line[5:].removeprefix(b" ")
            for line in block.removeprefix(BOM).split(b"\n")
            if line.startswith(b"data:")
        ]
        if lines:
            found.append(b"\n".join(lines))
    return found


class Reader:
    """The data of a reply that is a stream of events, or one JSON body, whatever it is labelled.

    The content type does not tell: servers mislabel both (cc-switch#1649).
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._held = bytearray()
        self._step = self._head

    def feed(self, data: bytes) -> list[bytes]:
        return self._step(data)

    def flush(self) -> list[bytes]:
        held, self._held = bytes(self._held), bytearray()
        return [held] if held.strip() else self._decoder.flush()

    def _head(self, data: bytes) -> list[bytes]:
        self._held += data
        start = self._held.lstrip(b" \t\r\n").removeprefix(BOM).lstrip(b" \t\r\n")
        if not start or BOM.startswith(start):
            return []
        if start.startswith((b"{", b"[")):
            self._step = self._json
            return []
        self._step = self._decoder.feed
        held, self._held = bytes(self._held), bytearray()
        return self._decoder.feed(held)

    def _json(self, data: bytes) -> list[bytes]:
        self._held += data
        if len(self._held) > LIMIT:
            raise BadReply(f"a body of more than {LIMIT} bytes")
        return []
