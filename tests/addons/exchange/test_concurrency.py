"""How many exchanges run at the same time: others get a 429, and each ending frees a place."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from mitmproxy import ctx
from mitmproxy.test import tflow

from addons.config.addon import Config
from addons.demo_provider import DemoProvider
from addons.exchange.concurrency import (
    admit_exchange,
    release_exchange,
    running_exchanges,
)
from addons.flow_data import CLIENT_NAME
from tests.addons.chain import exchange_addons
from tests.addons.proxy import PATIENCE, Call, Client, bounded, proxy, upstream

HELLO = json.dumps({"model": "m", "input": "Hello.", "stream": True}).encode()
CHAT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi."}]}).encode()
FIRST_CHUNK = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
LAST_CHUNK = (
    b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
)


class Held:
    """An upstream's handler that starts a stream and ends it when the test says so."""

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def __call__(self, call: Call) -> None:
        call.stream(FIRST_CHUNK)
        await self.end.wait()
        call.chunks(LAST_CHUNK)
        call.end()


@asynccontextmanager
async def held_relay(**settings: Any) -> AsyncIterator[tuple[int, Held]]:
    held = Held()
    async with upstream(held) as server:
        options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", **settings}
        async with proxy(*exchange_addons(DemoProvider()), **options) as (_, port):
            yield port, held
            held.end.set()


async def start_exchanges(
    port: int, stack: AsyncExitStack, count: int, **headers: str
) -> list[Client]:
    clients = []
    for _ in range(count):
        client = await stack.enter_async_context(Client.connect(port))
        client.send("/v1/responses", HELLO, **headers)
        assert (await client.head()).status == 200
        clients.append(client)
    return clients


async def wait_for_count(count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while running_exchanges() != count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/responses", HELLO), ("/v1/chat/completions", CHAT)]
)
@bounded
async def test_exchanges_past_the_limit_get_a_429(path: str, body: bytes) -> None:
    async with held_relay(relay_max_exchanges="2") as (port, held), AsyncExitStack() as stack:
        clients = await start_exchanges(port, stack, 2)
        async with Client.connect(port) as late:
            for _ in range(2):
                answer = await late.ask(path, body)
                assert answer.status == 429
                assert int(answer.headers["retry-after"]) >= 1
                error = json.loads(answer.body)["error"]
                assert error["code"] == "rate_limit_exceeded"
                assert "2 requests under way" in error["message"]
                assert "relay_max_exchanges" in error["message"]
            held.end.set()
            for client in clients:
                await client.rest()
            await wait_for_count(0)
            assert (await late.ask("/v1/responses", HELLO)).status == 200


@bounded
async def test_a_client_is_known_by_its_key_or_address() -> None:
    settings = {"relay_max_exchanges": "3,2", "relay_client_key": "ann:key-of-ann,bob:key-of-bob"}
    ann, bob = ({"authorization": f"Bearer key-of-{name}"} for name in ("ann", "bob"))
    async with held_relay(**settings) as (port, _), AsyncExitStack() as stack:
        await start_exchanges(port, stack, 2, **ann)
        async with Client.connect(port) as client:
            answer = await client.ask("/v1/responses", HELLO, **ann)
            assert answer.status == 429 and b"This client has 2 requests" in answer.body
            await start_exchanges(port, stack, 1, **bob)
            answer = await client.ask("/v1/responses", HELLO, **bob)
            assert answer.status == 429 and b"The relay has 3 requests" in answer.body


@pytest.mark.parametrize("ending", ["disconnect", "kill", "upstream", "bad request"])
@bounded
async def test_every_ending_frees_the_place(ending: str) -> None:
    flows = []

    class Spy:
        def requestheaders(self, flow: Any) -> None:
            flows.append(flow)

    def cut(call: Call) -> None:
        call.stream(FIRST_CHUNK)
        call.cut()

    held = Held()
    async with upstream(cut if ending == "upstream" else held) as server:
        options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", "relay_retries": "0"}
        async with (
            proxy(Spy(), *exchange_addons(), **options) as (_, port),
            AsyncExitStack() as stack,
        ):
            if ending == "bad request":
                async with Client.connect(port) as client:
                    assert (await client.ask("/v1/responses", b"[]")).status == 400
            else:
                (client,) = await start_exchanges(port, stack, 1)
                if ending == "disconnect":
                    client.writer.close()
                elif ending == "kill":
                    flows[0].kill()
            await wait_for_count(0)
            held.end.set()


@bounded
async def test_places_are_counted_and_freed_once() -> None:
    async with proxy(Config()):
        ctx.options.update(relay_max_exchanges="2,1")
        first, second, third = (tflow.tflow() for _ in range(3))
        second.metadata[CLIENT_NAME] = third.metadata[CLIENT_NAME] = "ann"
        assert admit_exchange(first) and admit_exchange(second)
        assert not admit_exchange(third)
        assert third.response and third.response.status_code == 429
        release_exchange(third)  # it was not admitted
        assert running_exchanges() == 2
        for _ in range(2):
            release_exchange(second)
        assert running_exchanges() == 1
        release_exchange(first)
        assert running_exchanges() == 0


@bounded
async def test_flows_that_are_gone_need_no_release() -> None:
    async with proxy(Config(), relay_max_exchanges="5"):
        flows = [tflow.tflow() for _ in range(3)]
        before = running_exchanges()
        for flow in flows:
            admit_exchange(flow)
        assert running_exchanges() == before + 3
        del flow, flows
        gc.collect()
        assert running_exchanges() == before
