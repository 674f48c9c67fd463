"""Reads an upstream's reply: bytes, cut anywhere, in; the chunks or events of its dialect out."""

from collections.abc import Iterator
from typing import Any

from translate.wire import sse
from translate.wire.errors import BadReply
from translate.wire.limits import DEFAULT_LIMITS, Limits
from translate.wire.split_pairs import PairJoiner

Json = dict[str, Any]
DONE_MARK: Json = {"done": "[DONE]"}  # stands for the last event of a Chat stream


class ReplyReader:
    """`feed` takes bytes, `flush` says that the upstream has ended.

    Both return the chunks or events that are complete; a body in one piece counts as one of them.
    They are lazy, so that what comes before unreadable data is not lost. Raises ValueError for data
    that is not JSON, and BadReply, a ValueError, past the limits of a reply.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._decoder = sse.SseReader(limits)
        self._joiner = PairJoiner(limits.value_count)
        self._size_limit = limits.reply_bytes
        self._size = 0  # bytes so far

    def feed(self, data: bytes) -> Iterator[Json]:
        self._size += len(data)
        if self._size > self._size_limit:
            raise BadReply(f"a reply of more than {self._size_limit:,} bytes (relay_max_reply)")
        return self._read_events(self._decoder.feed(data))

    def flush(self) -> Iterator[Json]:
        yield from self._read_events(self._decoder.flush())
        yield from self.flush_delta()

    def flush_delta(self) -> list[Json]:
        """A delta that waits for the rest of its last character."""
        return self._joiner.flush()

    def _read_events(self, events_data: list[bytes]) -> Iterator[Json]:
        for data in events_data:
            if data.strip() == sse.STREAM_DONE:
                yield from self.flush_delta()
                yield DONE_MARK
            elif data.strip():
                for value in self._joiner.feed(data):
                    chunks = value if isinstance(value, list) else [value]
                    # Gemini puts errors in a list
                    yield from (chunk for chunk in chunks if isinstance(chunk, dict))
