"""Connections to the upstream: the pieces that they pass on, their reuse, HTTP/2."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from addons.exchange.active import reply_probe
from addons.transport.addon import Transport
from tests.addons.proxy import (
    Call,
    Client,
    Client2,
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


@contextlib.asynccontextmanager
async def http2_upstream(*answers: tuple[int, bytes]) -> AsyncIterator[tuple[int, list[int]]]:
    """The port of an HTTP/2 server that gives these answers, the last one repeatedly, and the ids
    of the streams that had a request."""
    stream_ids: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lost = False
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        conn.initiate_connection()
        writer.write(conn.data_to_send())
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.StreamEnded):
                        stream_ids.append(event.stream_id)
                        status, body = answers[min(len(stream_ids), len(answers)) - 1]
                        kind = "text/event-stream" if status == 200 else "text/plain"
                        head = [(":status", str(status)), ("content-type", kind)]
                        conn.send_headers(event.stream_id, head)
                        conn.send_data(event.stream_id, body, end_stream=body != LOST_STREAM)
                        lost = body == LOST_STREAM
                writer.write(conn.data_to_send())
                if lost:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls("h2"))
    yield server.sockets[0].getsockname()[1], stream_ids
    server.close()


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
