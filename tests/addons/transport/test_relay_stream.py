"""The client's side: requests to the own port, the ends of replies, and flows without a plan."""

import asyncio
import gc
import importlib
import re
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from addons.transport.addon import Transport
from addons.transport.plan import attach_plan, plan_of
from addons.transport.relay_stream import RelayStream
from tests.addons.proxy import (
    Call,
    Client,
    bounded,
    proxy,
    upstream,
)
from tests.addons.transport.relay_harness import (
    CLOSE_LIMIT,
    cut_mid_stream,
    leaving_client,
    never_reply,
    relay,
    reply_hello,
    reply_status,
    request_by,
    retry_every,
    without_heartbeats,
)
from translate import ExchangeContext, load_providers, start_exchange

CLIENT_KINDS = ["direct", "proxied", "tunnel", "tls", "h2"]


@pytest.mark.parametrize("kind", CLIENT_KINDS)
@bounded
async def test_request_to_own_port_is_marked_and_a_proxied_one_is_not(kind: str) -> None:
    async with relay(reply_hello) as (_, addon, port):
        assert (await request_by(port, kind)).body == b"hello world"
        assert addon.flows[0].metadata["own"] is (kind in ("direct", "tls", "h2"))


@bounded
async def test_error_status_after_heartbeats_becomes_an_event() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.25)
        call.reply(503, b"busy", retry_after="7")

    async with relay(handler) as (_, addon, port), Client.connect(port) as client:
        answer = await client.ask("/v1/responses")
        assert (answer.status, without_heartbeats(answer.body)) == (200, b"<fail 503 busy 7>")
        assert addon.hooks == ["head 503", "response 503"]
        assert without_heartbeats((await client.ask("/v1/responses")).body) == b"<fail 503 busy 7>"


@bounded
async def test_lost_connection_after_heartbeats_becomes_an_event() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.25)
        call.cut()

    async with relay(handler, retry=retry_every(0.05)) as (server, _, port):
        answer = await request_by(port, "direct")
        assert (answer.status, without_heartbeats(answer.body)) == (
            200,
            b"<cut server closed connection>",
        )
        assert len(server.seen) == 3


async def reset_mid_stream(call: Call) -> None:
    call.stream(b"hello ")
    await asyncio.sleep(0.05)
    await call.reset()


def garble_mid_stream(call: Call) -> None:
    call.stream(b"hello ")
    call.writer.write(b"zzz\r\n")


@pytest.mark.parametrize("tls", [False, True], ids=["plain upstream", "TLS upstream"])
@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@pytest.mark.parametrize("handler", [cut_mid_stream, reset_mid_stream, garble_mid_stream])
@bounded
async def test_lost_connection_in_mid_stream_ends_with_an_event(
    handler: Callable[[Call], Any], kind: str, tls: bool
) -> None:
    async with relay(handler, tls=tls, retry=retry_every(0.0), heartbeat=0) as (
        server,
        addon,
        port,
    ):
        body = (await request_by(port, kind)).body
        assert body.startswith(b"hello <cut ")
        assert len(server.seen) == 1
        assert [hook.split()[0] for hook in addon.hooks] == ["head", "error"]


@bounded
async def test_client_stays_connected_after_a_lost_reply() -> None:
    async with relay(cut_mid_stream, reply_hello) as (_, _, port), Client.connect(port) as client:
        assert b"<cut" in (await client.ask("/v1/responses")).body
        assert (await client.ask("/v1/responses")).body == b"hello world"


@pytest.mark.parametrize("kind", ["direct", "h2"])
@pytest.mark.parametrize("after_head", [False, True], ids=["before the head", "in mid-stream"])
@bounded
async def test_client_that_leaves_closes_the_upstream_connection(
    kind: str, after_head: bool
) -> None:
    closed = asyncio.Event()

    async def handler(call: Call) -> None:
        if after_head:
            call.stream(b"hello ")
        await call.closed_after()
        closed.set()

    async with relay(handler, retry=retry_every(0.0), heartbeat=0) as (server, addon, port):
        async with leaving_client(port, kind) as leave:
            await asyncio.sleep(0.2)
            assert len(server.seen) == 1
            await leave()
            await asyncio.wait_for(closed.wait(), CLOSE_LIMIT)
        assert len(server.seen) == 1
        assert addon.hooks[-1].startswith("error ")


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_client_that_leaves_while_connecting_is_forgotten(kind: str) -> None:
    async with relay(reply_hello, dial=0.3, retry=retry_every(0.0)) as (server, _, port):
        async with leaving_client(port, kind) as leave:
            await asyncio.sleep(0.15)
            await leave()
            await asyncio.sleep(0.4)
        assert not server.seen


@pytest.mark.parametrize("kind", ["direct", "h2"])
@pytest.mark.parametrize("after_head", [False, True], ids=["before the head", "in mid-stream"])
@bounded
async def test_killed_flow_closes_a_silent_upstream(kind: str, after_head: bool) -> None:
    closed_after: list[float] = []

    async def handler(call: Call) -> None:
        if after_head:
            call.stream(b"hello ")
        closed_after.append(await call.closed_after())

    async with (
        relay(handler, retry=retry_every(0.0)) as (server, addon, port),
        leaving_client(port, kind),
    ):
        await asyncio.sleep(0.15)
        addon.flows[0].kill()
        await asyncio.sleep(0.3)
        assert closed_after and closed_after[0] < 1.0
        assert addon.hooks[-1] == "error Connection killed."
    assert len(server.seen) == 1


@pytest.mark.parametrize("dial", [0.0, 1.0], ids=["connected", "connecting"])
@bounded
async def test_killed_client_gets_no_reply(dial: float) -> None:
    options = {"retry": retry_every(0.0), "heartbeat": 0, "silence": 0.3, "dial": dial}
    async with relay(never_reply, **options) as (_, addon, port), Client.connect(port) as client:
        client.send("/v1/responses")
        await asyncio.sleep(0.1)
        addon.flows[0].kill()
        with pytest.raises(EOFError):
            await client.head(within=0.6)
        assert addon.flows[0].response is None
        assert plan_of(addon.flows[0]) is None
        await asyncio.sleep(dial)


@bounded
async def test_empty_piece_does_not_end_the_stream() -> None:
    async def handler(call: Call) -> None:
        call.stream(b"secret ")
        await asyncio.sleep(0.05)
        call.chunks(b"open")
        call.end()

    def hide_secret(data: bytes) -> bytes:
        return b"" if b"secret" in data else data

    async with relay(handler, stream=hide_secret) as (_, _, port):
        assert (await request_by(port, "direct")).body == b"open"


class StreamingAddon:
    """Attaches no plan: the flow is left to mitmproxy."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        flow.response.stream = True


@bounded
async def test_flow_without_a_plan_is_relayed_as_without_the_addon() -> None:
    results: dict[bool, list[object]] = {}
    async with upstream(reply_hello) as stopped:
        pass
    for with_transport in (True, False):
        addons = [Transport()] if with_transport else []
        async with (
            upstream(reply_hello, reply_status(500), cut_mid_stream, reply_hello) as server,
            proxy(StreamingAddon(), *addons) as (_, port),
        ):
            result = results[with_transport] = []
            async with Client.connect(port) as client:
                for _ in range(2):
                    answer = await client.ask(f"http://127.0.0.1:{server.port}/")
                    result += [answer.status, answer.headers, answer.body]
                client.send(f"http://127.0.0.1:{server.port}/")
                result.append(await client.head())
                with pytest.raises(EOFError):
                    await client.rest()
            async with Client.connect(port) as client:
                answer = await client.ask(f"http://127.0.0.1:{stopped.port}/")
                result += [answer.status, answer.headers, b"<html>" in answer.body]
    assert results[True] == results[False]


@bounded
async def test_reply_that_mitmproxy_refuses_becomes_an_error_of_the_dialect() -> None:
    def reply_two_lengths(call: Call) -> None:
        call.head(200, **{"content-length": "5", "content_length ": "6"})

    async with relay(reply_two_lengths) as (_, _, port):
        answer = await request_by(port, "direct")
        assert (answer.status, answer.headers["content-type"]) == (502, "text/x-failed")


@bounded
async def test_finished_flow_is_forgotten() -> None:
    async with relay(reply_hello) as (_, addon, port):
        await request_by(port, "direct")
        attach_plan(addon.flows[0], addon.plan_for(addon.flows[0]))
        reference = weakref.ref(addon.flows.pop())
        await asyncio.sleep(0.05)
        gc.collect()
        assert reference() is None


@bounded
async def test_real_exchange_ends_as_failed_after_retry_and_heartbeats() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.2)
        call.stream(b'data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}\n\n')
        await asyncio.sleep(0.2)
        call.cut()

    tables = (Path(__file__).parents[3] / "translate" / "providers" / "providers.toml").read_text()
    real_exchange = start_exchange(
        {"model": "m", "input": "hi", "stream": True},
        client="responses",
        context=ExchangeContext(
            provider=load_providers(tables)["generic"],
            model="m",
            response_id="resp_1",
            created_at=1,
        ),
    )
    options = {"exchange": real_exchange, "stream": lambda data: real_exchange.feed(data) or []}
    async with relay(reply_status(429), handler, retry=retry_every(0.1), **options) as (_, _, port):
        body = (await request_by(port, "direct")).body.decode()
    events = [line.removeprefix("event: ") for line in body.split("\n") if line[:6] == "event:"]
    assert events[0] == "response.created" and events[-1] == "response.failed"
    assert events.count("response.in_progress") >= 4
    numbers = re.findall(r'"sequence_number":(\d+)', body)
    assert numbers == [str(n) for n in range(len(events))]


@bounded
async def test_reloaded_module_derives_from_mitmproxys_classes() -> None:
    names = [name for name in sys.modules if name.startswith("addons.")]
    modules = {name: sys.modules.pop(name) for name in names}
    try:
        async with proxy(Transport()):
            pass
        again = importlib.import_module("addons.transport.relay_stream")
        assert again.RelayStream is not RelayStream
        assert RelayStream not in again.RelayStream.__mro__
    finally:
        sys.modules.update(modules)
