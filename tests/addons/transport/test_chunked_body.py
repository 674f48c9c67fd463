"""Bodies in chunks, read in runs; h11's own reader is the reference."""

from itertools import pairwise

import h11
import pytest
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer

from addons.transport.chunked_body import ChunkRunReader, fast_reader

END = b"0\r\n\r\n"
BODIES = {
    b"3\r\nabc\r\n" + END: b"abc",
    b"3\r\nabc\r\n2\r\nde\r\n" + END: b"abcde",
    b"0003 \t\r\nabc\r\nA;name=value; other\r\n0123456789\r\n" + END: b"abc0123456789",
    b"4\r\n\r\n\r\n\r\n1\r\n0\r\n" + END: b"\r\n\r\n0",
    END: b"",
    b"1\r\na\r\n0;last\r\nName: value\r\nOther: value\r\n\r\n": b"a",
    b"1\r\na\r\n00\r\nName: value\n\n": b"a",
}
BROKEN_BODIES = [
    b"x\r\n",
    b"\r\n",
    b"-1\r\na\r\n",
    b"+1\r\na\r\n",
    b"0x1\r\na\r\n",
    b"1_0\r\na\r\n",
    b" 1\r\na\r\n",
    b"1 ;extension\r\na\r\n",
    b"1\na\r\n2\r\n",
    b"1;a\nb\r\na\r\n",
    b"111111111111111111111\r\n",
    b"1\r\nab\r\n",
    b"1\r\na\r\r\n",
    b"1\r\na\n1\r\na\r\n",
    b"1\r\na1\r\na\r\n",
    b"1\r\na\r\nx\r\n",
    b"1\r\na\r\n\r\n",
]


def read_pieces(reader: ChunkRunReader | ChunkedReader, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The data of a body that arrives in these pieces, and what follows it."""
    buffer, data = ReceiveBuffer(), b""
    for number, piece in enumerate(pieces, 1):
        buffer += piece
        while event := reader(buffer):
            if isinstance(event, h11.EndOfMessage):
                return data, bytes(buffer) + b"".join(pieces[number:])
            data += event.data
    raise EOFError(data)


@pytest.mark.parametrize("body", BODIES)
def test_every_split_gives_the_same_data(body: bytes) -> None:
    text = body + b"GET /"
    for first in range(len(body) + 1):
        for second in range(first, len(body) + 1):
            cuts = [0, first, second, len(text)]
            pieces = [text[start:end] for start, end in pairwise(cuts)]
            assert read_pieces(ChunkRunReader(), pieces) == (BODIES[body], b"GET /")
    pieces = [body[at : at + 1] for at in range(len(body))]
    assert read_pieces(ChunkRunReader(), pieces) == (BODIES[body], b"")


@pytest.mark.parametrize("body", BODIES)
def test_every_beginning_of_a_body_waits_for_more(body: bytes) -> None:
    for size in range(len(body)):
        with pytest.raises(EOFError):
            read_pieces(ChunkRunReader(), [body[:size]])
    with pytest.raises(h11.RemoteProtocolError, match="^peer closed connection"):
        ChunkRunReader().read_eof()


@pytest.mark.parametrize("body", BROKEN_BODIES)
def test_what_h11_refuses_is_refused(body: bytes) -> None:
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        for reader in (ChunkedReader(), ChunkRunReader()):
            with pytest.raises(h11.ProtocolError):
                read_pieces(reader, pieces)


def test_data_before_a_broken_chunk_is_passed_on() -> None:
    buffer, reader = ReceiveBuffer(), ChunkRunReader()
    buffer += b"3\r\nabc\r\nx\r\n"
    event = reader(buffer)
    assert isinstance(event, h11.Data) and event.data == b"abc"
    with pytest.raises(h11.RemoteProtocolError):
        reader(buffer)


def test_all_chunks_of_a_read_are_one_piece() -> None:
    buffer, reader = ReceiveBuffer(), ChunkRunReader()
    buffer += b"2\r\nab\r\n" * 10_000 + b"5\r\nabc"
    event = reader(buffer)
    assert isinstance(event, h11.Data) and event.data == b"ab" * 10_000 + b"abc"
    assert reader(buffer) is None and not buffer


def test_only_readers_of_chunks_are_replaced() -> None:
    other = object()
    assert fast_reader(other) is other
    assert isinstance(fast_reader(ChunkedReader()), ChunkRunReader)
