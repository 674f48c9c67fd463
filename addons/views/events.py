"""A streamed body, whole or still growing: its events, and when each had come."""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from translate import codec, sse

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
        yield from piece(found.end(), body[start : found.start()])
        start = found.end()
    yield from piece(len(body), body[start:])


def piece(end: int, block: bytes) -> Iterator[Piece]:
    if not block.strip():
        return
    lines = block.removeprefix(sse.BOM).splitlines()
    data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
    if not data:
        data = block  # a comment, or an error as bare JSON
    try:
        yield Piece(end, codec.loads(data), "")
    except ValueError:
        yield Piece(end, None, data.decode("utf-8", "replace"))


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
