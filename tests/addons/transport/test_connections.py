"""Connections to the upstream: the pieces that they pass on, their reuse, HTTP/2."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from addons.exchange.active import reply_probe
from addons.transport.addon import Transport
from addons.transport.connections import (
    EARLY_CLOSE,
    INVALID_HTTP,
    LARGE_HEAD,
    MAX_INTERIM_HEADS,
)
from tests.addons.proxy import (
    Call,
    Client,
    Client2,
    Handler,
    bounded,
    proxy,
    server_tls,
)
from tests.addons.transport.relay_harness import (
    HEARTBEAT,
    RelayAddon,
    WholeExchange,
    relay,
    reply_hello,
    request_by,
    retry_every,
)


@bounded
async def test_one_read_is_one_piece_of_the_stream() -> None:
    calls: list[bytes] = []

    def stream(data: bytes) -> Any:
        calls.append(data)
        return data or []

    def handler(call: Call) -> None:
        call.stream(*[b"%d," % n for n in range(200)])
        call.end()

    async with relay(handler, stream=stream) as (_, _, port):
        body = (await request_by(port, "direct")).body
        assert body == b"".join(b"%d," % n for n in range(200))
        assert len(calls) <= 4 and calls[-1] == b""


@bounded
async def test_upstream_connection_is_reused() -> None:
    async with relay(reply_hello) as (server, _, port), Client.connect(port) as client:
        for _ in range(3):
            assert (await client.ask("/v1/responses")).body == b"hello world"
            await asyncio.sleep(2 * HEARTBEAT)  # no heartbeat after the end
        assert server.connections == 1


REFUSED_STREAM = b'data: {"type":"response.created"}\n\ndata: {"error":{"code":503}}\n\n'
LOST_STREAM = REFUSED_STREAM + b": and the connection closes\n\n"
SPEAKING_STREAM = b'data: {"delta":"hello"}\n\n'


type Http2Reply = Callable[[h2.connection.H2Connection, int], bool | None]


@contextlib.asynccontextmanager
async def http2_server(reply: Http2Reply) -> AsyncIterator[int]:
    """The port of an HTTP/2 server that calls `reply` with the id of each stream that has ended its
    request; if that returns True, it closes the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_closing = False
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        conn.initiate_connection()
        writer.write(conn.data_to_send())
        with contextlib.suppress(OSError):
            while not is_closing and (data := await reader.read(65536)):
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.StreamEnded):
                        is_closing = bool(reply(conn, event.stream_id))
                writer.write(conn.data_to_send())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls("h2"))
    yield server.sockets[0].getsockname()[1]
    server.close()


@contextlib.asynccontextmanager
async def http2_upstream(*answers: tuple[int, bytes]) -> AsyncIterator[tuple[int, list[int]]]:
    """The port of an HTTP/2 server that gives these answers, the last one repeatedly, and the ids
    of the streams that had a request."""
    stream_ids: list[int] = []

    def reply(conn: h2.connection.H2Connection, stream_id: int) -> bool:
        stream_ids.append(stream_id)
        status, body = answers[min(len(stream_ids), len(answers)) - 1]
        kind = "text/event-stream" if status == 200 else "text/plain"
        conn.send_headers(stream_id, [(":status", str(status)), ("content-type", kind)])
        conn.send_data(stream_id, body, end_stream=body != LOST_STREAM)
        return body == LOST_STREAM

    async with http2_server(reply) as port:
        yield port, stream_ids


@bounded
async def test_http2_upstream_is_tried_again() -> None:
    """A stream id of the client may be used once on an upstream connection."""
    async with http2_upstream((500, b"hello"), (200, b"hello")) as (server_port, stream_ids):
        addon = RelayAddon(server_port, "https", exchange=WholeExchange(), retry=retry_every(0.1))
        async with proxy(Transport(), addon, ssl_insecure=True) as (_, port):
            answer = await request_by(port, "h2")
    assert (answer.status, answer.body, stream_ids) == (200, b"hello", [1, 3])


@pytest.mark.parametrize("first", [REFUSED_STREAM, LOST_STREAM], ids=["ended", "lost"])
@pytest.mark.parametrize(("max_attempts", "status"), [(3, 200), (1, 503)])
@bounded
async def test_refusal_in_a_stream_on_http2_upstream(
    first: bytes, max_attempts: int, status: int
) -> None:
    """The refusal and the end of the stream come in the same read."""
    async with http2_upstream((200, first), (200, SPEAKING_STREAM)) as (server_port, stream_ids):
        callbacks = {"probe": reply_probe}
        addon = RelayAddon(
            server_port,
            "https",
            retry=retry_every(0.1, max_attempts),
            callbacks=callbacks,
            heartbeat=0,
        )
        async with (
            proxy(Transport(), addon, ssl_insecure=True) as (_, port),
            Client2.connect(port) as client,
        ):
            answer = await client.rest(client.send("/v1/responses"))
            assert answer.status == status
            second = await client.rest(client.send("/v1/responses"))
            assert (second.status, second.body) == (200, SPEAKING_STREAM)
    assert len(stream_ids) == (3 if max_attempts > 1 else 2)


# What an odd upstream sends


def raw(*parts: bytes, end: bool = True) -> Handler:
    """An upstream that writes these bytes, and then closes the connection."""

    async def handler(call: Call) -> None:
        for part in parts:
            call.writer.write(part)
            await call.writer.drain()
            await asyncio.sleep(0.02)
        if end:
            call.cut()
        else:
            await call.closed_after()

    return handler


HELLO_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 5\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: %s\r\n\r\n"
SECRET = b"sk-live-secret"


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO_HEAD + b"hello",),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", HELLO_HEAD, b"hello"),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * MAX_INTERIM_HEADS + HELLO_HEAD + b"hello",),
    ],
    ids=["100", "103", "many"],
)
@bounded
async def test_interim_replies_are_skipped(parts: tuple[bytes, ...]) -> None:
    async with relay(raw(*parts)) as (server, addon, port):
        answer = await request_by(port, "direct")
    assert (answer.status, answer.body) == (200, b"hello")
    assert addon.hooks == ["head 200", "response 200"] and len(server.seen) == 1


@bounded
async def test_endless_interim_replies_end_the_attempt() -> None:
    """Each takes a little work, which would hold up the streams of others."""
    heads = b"HTTP/1.1 102 Processing\r\n\r\n" * (MAX_INTERIM_HEADS + 1)
    async with relay(raw(heads + HELLO_HEAD + b"hello")) as (_, addon, port):
        answer = await request_by(port, "direct")
    assert (answer.status, answer.body) == (502, b"<lost %s>" % LARGE_HEAD.encode())


@pytest.mark.parametrize("upgrade", [b"Upgrade: websocket\r\nConnection: upgrade\r\n", b""])
@bounded
async def test_a_switch_of_protocols_is_a_failed_reply(upgrade: bytes) -> None:
    """mitmproxy would make the connection a tunnel, and the next request on it would hang."""

    def handler(call: Call) -> None:
        if call.connection == 1:
            call.writer.write(b"HTTP/1.1 101 Switching\r\n%s\r\nxxxx" % upgrade)
        else:
            call.writer.write(HELLO_HEAD + b"hello")

    async with relay(handler, heartbeat=0) as (server, _, port), Client.connect(port) as client:
        answer = await client.ask("/v1/responses")
        assert (answer.status, answer.body) == (502, b"<lost %s>" % INVALID_HTTP.encode())
        assert (await client.ask("/v1/responses")).body == b"hello"
    assert server.connections == 2


@bounded
async def test_connection_is_reused_after_an_interim_reply() -> None:
    def handler(call: Call) -> None:
        call.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" + HELLO_HEAD + b"hello")

    async with relay(handler, heartbeat=0) as (server, _, port), Client.connect(port) as client:
        for _ in range(3):
            assert (await client.ask("/v1/responses")).body == b"hello"
    assert server.connections == 1


@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/json"])
@pytest.mark.parametrize("cut", [0, 3])
@bounded
async def test_trailers_are_ignored(kind: bytes, cut: int) -> None:
    body = b"5\r\nhello\r\n0\r\nX-Checksum: 1\r\nServer-Timing: a\r\n\r\n"
    head = CHUNKED_HEAD % kind

    async def handler(call: Call) -> None:
        call.writer.write(head + body[: len(body) - cut])
        if cut:
            await asyncio.sleep(0.05)
            call.writer.write(body[-cut:])

    async with relay(handler, heartbeat=0) as (server, _, port), Client.connect(port) as client:
        for _ in range(2):
            answer = await client.ask("/v1/responses")
            assert (answer.status, answer.body) == (200, b"hello")
    assert server.connections == 1


FRAME_OF_UNKNOWN_TYPE = bytes([0, 0, 0, 0x77, 0, 0, 0, 0, 0])


@bounded
async def test_http2_frames_without_meaning_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def reply(conn: h2.connection.H2Connection, stream_id: int) -> None:
        for _ in range(50):
            conn.send_headers(stream_id, [(":status", "103"), ("link", "</x>")])
        conn.send_headers(stream_id, [(":status", "200"), ("content-type", "a/b")])
        conn.send_data(stream_id, b"hello", end_stream=True)
        conn._data_to_send += FRAME_OF_UNKNOWN_TYPE * 50

    caplog.set_level("DEBUG")
    async with http2_server(reply) as server_port:
        addon = RelayAddon(server_port, "https", heartbeat=0)
        async with (
            proxy(Transport(), addon, ssl_insecure=True) as (_, port),
            Client2.connect(port) as client,
        ):
            client.writer.write(FRAME_OF_UNKNOWN_TYPE * 50)
            for _ in range(2):
                assert (await client.rest(client.send("/v1/responses"))).body == b"hello"
    assert "HTTP/2 frame" not in caplog.text and "informational" not in caplog.text


@bounded
async def test_trailers_of_http2_are_ignored() -> None:
    kinds = ["text/event-stream", "application/json"]

    def reply(conn: h2.connection.H2Connection, stream_id: int) -> None:
        conn.send_headers(stream_id, [(":status", "200"), ("content-type", kinds.pop())])
        conn.send_data(stream_id, b"hello")
        conn.send_headers(stream_id, [("x-checksum", "1")], end_stream=True)

    async with http2_server(reply) as server_port:
        addon = RelayAddon(server_port, "https", heartbeat=0)
        async with (
            proxy(Transport(), addon, ssl_insecure=True) as (_, port),
            Client2.connect(port) as client,
        ):
            for _ in range(2):
                assert (await client.rest(client.send("/v1/responses"))).body == b"hello"


FLOODED_HEADS = {
    "one header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 60_000, b""),
    "many headers": (b"HTTP/1.1 200 OK\r\n", b"X-A: %s\r\n" % (b"a" * 1000), b""),
    "status line": (b"HTTP/1.1 200 ", b"a" * 60_000, b""),
    "line before a chunk": (CHUNKED_HEAD % b"text/event-stream" + b"1;", b"a" * 60_000, b""),
    "trailers": (CHUNKED_HEAD % b"application/json" + b"0\r\n", b"X: %s\r\n" % (b"a" * 1000), b""),
}


@pytest.mark.parametrize("kind", FLOODED_HEADS)
@bounded
async def test_head_past_its_limit_ends_the_connection(kind: str) -> None:
    start, piece, _ = FLOODED_HEADS[kind]
    sent = 0

    async def handler(call: Call) -> None:
        nonlocal sent
        call.writer.write(start)
        with contextlib.suppress(OSError):
            while True:
                call.writer.write(piece)
                await call.writer.drain()
                await asyncio.sleep(0)
                sent += len(piece)

    exchange = WholeExchange()
    async with relay(handler, exchange=exchange, retry=retry_every(0.01)) as (server, _, port):
        answer = await request_by(port, "direct")
        text = answer.body if answer.status == 502 else b"<cut" + answer.body.split(b"<cut")[-1]
        assert b"the head of the upstream's reply is too large (relay_max_head)" in text
    assert len(server.seen) == 1  # the same upstream would do it again


@bounded
async def test_large_head_that_is_complete_is_too_large() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-A: %s\r\nContent-Length: 0\r\n\r\n" % (b"a" * (128 << 10))
    async with relay(raw(head), exchange=WholeExchange()) as (_, _, port):
        answer = await request_by(port, "direct")
    assert answer.status == 502 and b"(relay_max_head)" in answer.body


@bounded
async def test_head_below_the_limit_is_read() -> None:
    head = HELLO_HEAD.replace(b"Content-T", b"X-A: %s\r\nContent-T" % (b"a" * 60_000))
    async with relay(raw(head + b"hello"), heartbeat=0) as (_, _, port):
        assert (await request_by(port, "direct")).body == b"hello"


@bounded
async def test_large_head_on_http2() -> None:
    def reply(conn: h2.connection.H2Connection, stream_id: int) -> None:
        conn.send_headers(stream_id, [(":status", "200"), *[("x-a", "a" * 1000)] * 200])

    async with http2_server(reply) as server_port:
        addon = RelayAddon(server_port, "https", exchange=WholeExchange())
        async with proxy(Transport(), addon, ssl_insecure=True) as (_, port):
            answer = await request_by(port, "h2")
    assert answer.status == 502 and b"(relay_max_head)" in answer.body


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"HTTP/1.1 2OO " + SECRET + b"\r\n\r\n", INVALID_HTTP),
        (SECRET + b"\r\n\r\n", INVALID_HTTP),
        (b"HTTP/1.1 200 OK\r\n" + SECRET + b"\r\n\r\n", INVALID_HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + SECRET + b"\r\n\r\n", INVALID_HTTP),
        (b"HTTP/1.1 200 OK\r\nX y: " + SECRET + b"\r\n\r\n", INVALID_HTTP),
        (b"HTTP/1.1 200 OK\r\n" + SECRET, EARLY_CLOSE),
        (CHUNKED_HEAD % b"a/b" + SECRET + b"\r\n\r\n", INVALID_HTTP),
        (CHUNKED_HEAD % b"a/b" + b"5\r\nhel", EARLY_CLOSE),
        (HELLO_HEAD.replace(b"text/event-stream", b"a/b") + b"hel", EARLY_CLOSE),
    ],
)
@bounded
async def test_broken_http_is_told_in_words_for_people(
    reply: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with relay(raw(reply), exchange=WholeExchange()) as (_, addon, port):
        answer = await request_by(port, "direct")
    assert (answer.status, answer.body) == (502, f"<lost {words}>".encode())
    assert SECRET.decode() not in caplog.text
    assert SECRET.decode() not in repr([flow.get_state() for flow in addon.flows])


@bounded
async def test_data_without_a_request_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def handler(call: Call) -> None:
        call.writer.write(HELLO_HEAD + b"hello" + SECRET)

    async with relay(handler, heartbeat=0) as (server, _, port), Client.connect(port) as client:
        for _ in range(2):
            assert (await client.ask("/v1/responses")).body == b"hello"
            await asyncio.sleep(0.05)
    assert SECRET.decode() not in caplog.text


@bounded
async def test_flood_of_one_connection_is_closed_after_its_reply_is_refused() -> None:
    """mitmproxy leaves a socket open whose handler is ended while it has data to pass on."""
    closed = asyncio.Event()

    async def handler(call: Call) -> None:
        call.stream(b"x" * 1000)
        with contextlib.suppress(OSError):
            while True:
                call.chunks(b"x" * 10_000)
                await call.writer.drain()
        closed.set()

    async with relay(handler, callbacks={"reply_limit": 100_000}) as (_, _, port):
        answer = await request_by(port, "direct")
        assert b"(relay_max_reply)" in answer.body
        await asyncio.wait_for(closed.wait(), 5)
