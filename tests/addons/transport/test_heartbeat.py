"""Heartbeats for the client, and the limit to an upstream's silence."""

import asyncio
import contextlib
import math
import time
from typing import Any

import pytest

from addons.transport.addon import Transport
from addons.transport.heartbeat import PLAN_POLL
from tests.addons.exchange.test_addon import (
    ask_once,
    completed_text,
    error_of,
    stream_error,
)
from tests.addons.exchange.test_addon import relay as whole_relay
from tests.addons.proxy import (
    Call,
    Client,
    Handler,
    bounded,
    proxy,
)
from tests.addons.transport.relay_harness import (
    HEARTBEAT,
    RelayAddon,
    SpokenExchange,
    WholeExchange,
    never_reply,
    relay,
    reply_hello,
    reply_late,
    reply_status,
    request_by,
    retry_every,
    without_heartbeats,
)
from tests.translate.support import chunk
from tests.translate.support import stream as chat


@pytest.mark.parametrize("tls", [False, True], ids=["plain upstream", "TLS upstream"])
@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_heartbeats_before_the_first_byte(kind: str, tls: bool) -> None:
    async with relay(reply_late, tls=tls) as (_, addon, port):
        answer = await request_by(port, kind)
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert 2 <= answer.body.count(b"<beat>") <= 12
        assert answer.body.endswith(b"hello world")
        assert addon.hooks == ["head 200", "response 200"]


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_heartbeats_in_mid_stream(kind: str) -> None:
    async def handler(call: Call) -> None:
        call.stream(b"one ")
        await asyncio.sleep(0.4)
        call.chunks(b"two")
        call.end()

    async with relay(handler) as (_, _, port):
        body = (await request_by(port, kind)).body
        assert 2 <= body.count(b"<beat>") <= 12
        assert without_heartbeats(body) == b"one two"


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_heartbeats_between_attempts(kind: str) -> None:
    async with relay(reply_status(429), reply_hello, retry=retry_every(0.2)) as (
        server,
        addon,
        port,
    ):
        body = (await request_by(port, kind)).body
        assert 2 <= body.count(b"<beat>") <= 12
        assert without_heartbeats(body) == b"hello world"
        assert len(server.seen) == 2
        assert addon.hooks == ["head 429", "head 200", "response 200"]


@pytest.mark.parametrize(("delays", "least"), [({"hold": 0.8}, 1), ({"dial": 0.2}, 2)])
@bounded
async def test_heartbeats_while_the_hook_or_the_connection_takes_long(
    delays: dict[str, float], least: int
) -> None:
    async with relay(reply_hello, **delays) as (_, _, port):
        body = (await request_by(port, "direct")).body
        assert body.count(b"<beat>") >= least
        assert without_heartbeats(body) == b"hello world"


@bounded
async def test_heartbeat_at_an_interval_that_is_longer_than_the_first_tick() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(1.0)
        reply_hello(call)

    async with relay(handler, heartbeat=PLAN_POLL + 0.2) as (_, _, port):
        body = (await request_by(port, "direct")).body
        assert body == b"<beat>hello world"


@bounded
async def test_short_exchange_has_one_timer() -> None:
    async with relay(reply_hello, heartbeat=15.0) as (_, _, port), Client.connect(port) as client:
        assert (await client.ask("/v1/responses")).body == b"hello world"
        names = [task.get_name() for task in asyncio.all_tasks()]
        assert sum("wakeup timer" in name for name in names) == 1


@bounded
async def test_no_heartbeat_while_bytes_flow() -> None:
    """There is none within the interval after a byte; if the machine stalls for longer, one may be
    sent."""
    silences: list[float] = []
    last = math.inf  # heartbeats before the first byte do not count

    class TimedExchange(SpokenExchange):
        def heartbeat(self) -> bytes:
            silences.append(time.monotonic() - last)
            return super().heartbeat()

    def stream(data: bytes) -> Any:
        nonlocal last
        last = time.monotonic()
        return data or []

    async def handler(call: Call) -> None:
        call.stream()
        for _ in range(8):
            await asyncio.sleep(HEARTBEAT / 2)
            call.chunks(b".")
        call.end()

    async with relay(handler, exchange=TimedExchange(), stream=stream) as (_, _, port):
        assert without_heartbeats((await request_by(port, "direct")).body) == b"." * 8
        assert [silence for silence in silences if 0 <= silence < HEARTBEAT] == []


@pytest.mark.parametrize("options", [{"heartbeat": 0.0}, {"exchange": WholeExchange()}])
@bounded
async def test_no_heartbeat_if_they_are_off_or_the_client_does_not_stream(
    options: dict[str, Any],
) -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.3)
        call.reply(200, b"{}")

    async with relay(handler, **options) as (_, _, port):
        answer = await request_by(port, "direct")
        assert (answer.headers.get("content-length"), answer.body) == ("2", b"{}")


@bounded
async def test_whole_reply_follows_heartbeats() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.3)
        call.reply(200, b"all at once")

    async with relay(handler) as (_, _, port):
        assert without_heartbeats((await request_by(port, "direct")).body) == b"all at once"


@bounded
async def test_http_1_0_client_gets_no_chunks() -> None:
    async with relay(reply_late) as (_, _, port), Client.connect(port) as client:
        client.writer.write(b"POST /x HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        answer = await client.head()
        assert "transfer-encoding" not in answer.headers
        body = await asyncio.wait_for(client.reader.read(-1), 5)
        assert without_heartbeats(body) == b"hello world"


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_silence_in_mid_stream_ends_the_reply(kind: str) -> None:
    closed_after: list[float] = []

    async def handler(call: Call) -> None:
        call.stream(b"hello ")
        closed_after.append(await call.closed_after())

    async with relay(handler, silence=0.3, heartbeat=0) as (_, _, port):
        assert (
            await request_by(port, kind)
        ).body == b"hello <cut upstream silent for 0.3 s (relay_timeout)>"
        await asyncio.sleep(0.05)
        assert 0.25 < closed_after[0] < 2


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_silence_before_the_reply_is_tried_again(kind: str) -> None:
    async with relay(never_reply, reply_hello, silence=0.2, retry=retry_every(0.0)) as (
        server,
        addon,
        port,
    ):
        assert without_heartbeats((await request_by(port, kind)).body) == b"hello world"
        assert server.connections == 2
        assert addon.hooks == ["head 200", "response 200"]


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_silence_while_connecting_is_bounded(kind: str) -> None:
    options = {"dial": 1.0, "silence": 0.2, "heartbeat": 0.0}
    async with relay(reply_hello, **options) as (server, _, port):
        start = time.monotonic()
        answer = await request_by(port, kind)
        body = b"<lost upstream silent for 0.2 s (relay_timeout)>"
        assert (answer.status, answer.body) == (502, body)
        assert time.monotonic() - start < 0.9
        await asyncio.sleep(1.0)  # by now it is connected, but no stream waits for it
        assert not server.seen


@bounded
async def test_connection_whose_handshake_is_not_answered_is_closed() -> None:
    """A TLS handshake that is never answered is still connecting."""
    closed_after: list[float] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = time.monotonic()
        while await reader.read(65536):
            pass
        closed_after.append(time.monotonic() - start)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    server_port = server.sockets[0].getsockname()[1]
    addon = RelayAddon(server_port, "https", silence=0.2, heartbeat=0)
    async with proxy(Transport(), addon) as (_, port), Client.connect(port) as client:
        assert (await client.ask("/v1/responses")).status == 502
        await asyncio.sleep(0.1)
        assert closed_after and closed_after[0] < 2
    server.close()


# Bytes that say nothing


def drip(piece: bytes, start: bytes = b"") -> Handler:
    """A reply that begins so and goes on with such pieces."""

    async def handler(call: Call) -> None:
        call.stream(*([start] if start else []))
        with contextlib.suppress(OSError):
            while not call.writer.is_closing():
                call.chunks(piece)
                await call.writer.drain()
                await asyncio.sleep(0.02)

    return handler


BEGUN = chat(chunk(content="Well, "), done=False)
PINGS = {
    "comments": b": ping\n\n",
    "white space": b" \n",
    "events": b'event: ping\ndata: {"type": "ping"}\n\n',
}


@pytest.mark.parametrize("start", [b"", BEGUN], ids=["at once", "later"])
@pytest.mark.parametrize("kind", PINGS)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@bounded
async def test_upstream_that_only_pings_is_given_up(stream: bool, kind: str, start: bytes) -> None:
    options = {"relay_timeout": "0.3", "relay_heartbeat": "0.2", "relay_retries": "0"}
    async with whole_relay(drip(PINGS[kind], start), **options) as (above, port):
        answer = await ask_once(port, stream=stream)
    error = stream_error(answer) if stream else error_of(answer)
    assert "upstream without content for 1.2 s" in error["message"]
    assert len(above.seen) == 1


@bounded
async def test_slow_content_is_not_given_up() -> None:
    async def handler(call: Call) -> None:
        call.stream()
        for _ in range(10):
            await asyncio.sleep(0.25)
            call.chunks(chat(chunk(content="a"), done=False), b": ping\n\n")
        call.chunks(chat(chunk("stop")))
        call.end()

    options = {"relay_timeout": "0.5", "relay_heartbeat": "0.1"}
    async with whole_relay(handler, **options) as (_, port):
        assert completed_text(await ask_once(port)) == "a" * 10
