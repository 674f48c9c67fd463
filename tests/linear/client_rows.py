"""Rows for what clients send: heads, chunks, trailers and compressed bodies."""

from collections.abc import Callable, Sequence
from typing import Any

from mitmproxy.options import Options
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.test import tflow

from addons.transport.client_connections import RelayHttp1Server
from addons.transport.content_decoding import BoundedDecoder, decompress_bounded
from tests.encoders import ENCODERS
from tests.linear.growth import LinearRow, cut_pieces, repeat_bytes

READ = 65_535  # bytes that mitmproxy reads at once
NO_LIMIT = 1 << 40
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAMS = {  # name → what the client sends, and in which pieces
    "lines of a head": (b"a: b\r\n", b"GET / HTTP/1.1\r\n", READ),
    "a head in small pieces": (b"a: b\r\n", b"GET / HTTP/1.1\r\n", 50),
    "blank lines": (b"\r\n", b"", READ),
    "blank lines in small pieces": (b"\r\n", b"", 50),
    "small chunks": (b"2\r\nab\r\n", HEAD, READ),
    "one line before a chunk": (b"x", HEAD + b"1;", 1000),
    "trailers": (b"a: b\r\n", HEAD + b"0\r\n", 1000),
    "requests ahead of a reply": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"", READ),
}


def read_from_client(pieces: Sequence[bytes]) -> None:
    connection: Any = tflow.tclient_conn()
    server = RelayHttp1Server(Context(connection, Options()))
    closed = False
    list(server.handle_event(events.Start()))
    for piece in pieces:
        for step in server.handle_event(events.DataReceived(connection, piece)):
            closed = closed or isinstance(step, commands.CloseConnection)
        if closed:
            return


def members(encode: Callable[[bytes], bytes]) -> Callable[[int], bytes]:
    """Many small streams one after the other."""
    return repeat_bytes(encode(b"a"))


def zeros(encode: Callable[[bytes], bytes]) -> Callable[[int], bytes]:
    """What decodes to this many bytes."""
    return lambda size: encode(bytes(size))


def decode_whole(encoding: str) -> Callable[[bytes], bytes]:
    return lambda content: decompress_bounded(content, encoding, NO_LIMIT)


def decode_pieces(encoding: str) -> Callable[[Sequence[bytes]], None]:
    def run(pieces: Sequence[bytes]) -> None:
        decoder = BoundedDecoder(encoding, NO_LIMIT)
        for piece in pieces:
            decoder.feed(piece)

    return run


CLIENT_ROWS = [
    *(
        LinearRow(f"a client: {name}", read_from_client, cut_pieces(repeat_bytes(unit, start), cut))
        for name, (unit, start, cut) in STREAMS.items()
    ),
    *(
        LinearRow(f"{name} of zeros", decode_whole(name), zeros(encode))
        for name, encode in ENCODERS.items()
    ),
    *(
        LinearRow(f"{name} in pieces", decode_pieces(name), cut_pieces(zeros(encode), 10))
        for name, encode in ENCODERS.items()
    ),
    *(
        LinearRow(f"members of {name}", decode_whole(name), members(ENCODERS[name]))
        for name in ("gzip", "zstd")
    ),
]
