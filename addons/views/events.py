"""A streamed body, whole or still growing: its events, and when each had come."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from translate.wire import codec, sse

BLANK = re.compile(rb"\r?\n\r?\n|\r\r")
START = re.compile(rb"\s*(?:data|event|id|retry)?:")


class Piece(NamedTuple):
    end: int  # bytes of the body by which it was whole
    data: Any  # JSON; None for a comment
    raw: str  # what is no JSON


def is_stream(body: bytes) -> bool:
    """By what is in it; the content type does not tell."""
    return bool(START.match(body[:64].removeprefix(sse.BOM)))


def pieces(body: bytes) -> Iterator[Piece]:
    """Each event; of one that is not whole yet, what there is."""
    start = 0
    for found in BLANK.finditer(body):
        at, end = found.span()
        if at > start:
            yield piece(end, body[start:at])
        start = end
    if body[start:].strip():
        yield piece(len(body), body[start:])


def piece(end: int, block: bytes) -> Piece:
    """A block without data is a comment, or an error as bare JSON."""
    data = data_of(block) or block
    try:
        return Piece(end, codec.loads(data), "")
    except ValueError:
        return Piece(end, None, data.decode("utf-8", "replace"))


def data_of(block: bytes) -> bytes:
    if block.startswith(b"data:") and b"\n" not in block:  # most of them
        return block[5:]
    lines = block.removeprefix(sse.BOM).splitlines()
    return b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))


class Clock:
    """Which part of a body had come when: pairs of milliseconds and bytes, as rows.py keeps."""

    def __init__(self, times: Any) -> None:
        pairs = times if isinstance(times, Sequence) else []
        kept = [pair for pair in pairs if isinstance(pair, Sequence) and len(pair) == 2]
        self._ms = [int(pair[0]) for pair in kept]
        self._starts = [int(pair[1]) for pair in kept]

    def at(self, end: int) -> int | None:
        """Milliseconds since the request went up by which so many bytes had come."""
        found = bisect_right(self._starts, end - 1) - 1
        return self._ms[found] if found >= 0 else None
