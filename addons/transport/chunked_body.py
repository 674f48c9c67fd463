"""Reads bodies in chunks (RFC 9112, section 7.1): all chunks that a read has brought, in one go.

h11's reader, which mitmproxy uses, takes 10 µs for a chunk. With two bytes in each chunk, one read
of 64 KB would hold up all other clients for 0.1 s.

Built on h11's private API, as mitmproxy is.
"""

import re
from collections.abc import Callable
from typing import Any

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer

LINE_END = b"\r\n"
CHUNK_HEAD = rb"([0-9A-Fa-f]{1,20})(?:;[^\r\n]*+|[ \t]*+)\r\n"
FIRST_HEAD, NEXT_HEAD = re.compile(CHUNK_HEAD), re.compile(LINE_END + CHUNK_HEAD)

type BodyEvent = h11.Data | h11.EndOfMessage | None


def fast_reader(reader: Any) -> Any:
    """The reader that mitmproxy has chosen for a body, or a faster one in its place."""
    return ChunkRunReader() if type(reader) is ChunkedReader else reader


class ChunkRunReader:
    """Reads a body from a buffer that grows. It drops extensions of chunks, and trailers.

    A call returns the data of all chunks in the buffer, or the end of the body, or None if more
    bytes must arrive first. Raises RemoteProtocolError.
    """

    def __init__(self) -> None:
        self._head = FIRST_HEAD  # the pattern of the next chunk's head
        self._missing_size = 0  # of the data of the current chunk
        self._searched_size = 0  # of the start of the buffer, which has no line end
        self._read_part: Callable[[ReceiveBuffer], BodyEvent] = self._read_chunks

    def __call__(self, buffer: ReceiveBuffer) -> BodyEvent:
        return self._read_part(buffer)

    def read_eof(self) -> BodyEvent:
        raise h11.RemoteProtocolError("peer closed connection in the middle of a chunked body")

    def _read_chunks(self, buffer: ReceiveBuffer) -> BodyEvent:
        data = bytes(buffer)
        if self._searched_size and data.find(LINE_END, self._searched_size - 1) < 0:
            self._searched_size = len(data)
            return None
        parts, position = self._split_chunks(data)
        buffer.maybe_extract_at_most(position)
        if parts:
            return h11.Data(b"".join(parts))
        if self._read_part == self._read_trailers:
            return self._read_trailers(buffer)
        self._check_head(data[position:])
        return None

    def _split_chunks(self, data: bytes) -> tuple[list[bytes], int]:
        """The data of the chunks, and how many bytes they take with their heads."""
        parts, position = list[bytes](), 0
        self._searched_size = 0
        while position < len(data):
            if self._missing_size:
                part = data[position : position + self._missing_size]
                parts.append(part)
                position += len(part)
                self._missing_size -= len(part)
            elif head := self._head.match(data, position):
                position, self._head = head.end(), NEXT_HEAD
                self._missing_size = int(head[1], 16)
                if not self._missing_size:
                    self._read_part = self._read_trailers
                    break
            else:
                break
        return parts, position

    def _check_head(self, data: bytes) -> None:
        """Raise an error unless this may be the beginning of a chunk's head."""
        start = data[: len(LINE_END)] if self._head is NEXT_HEAD else b""
        if not LINE_END.startswith(start) or LINE_END in data[len(start) :]:
            raise h11.RemoteProtocolError("malformed chunk")
        self._searched_size = len(data)

    def _read_trailers(self, buffer: ReceiveBuffer) -> BodyEvent:
        return None if buffer.maybe_extract_lines() is None else h11.EndOfMessage()
