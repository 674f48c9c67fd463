"""The bodies of all requests together are bounded: in all, and for each client."""

import asyncio
import gc
import gzip
import json
from collections.abc import Iterator

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.http import HTTPFlow
from mitmproxy.test import taddons, tflow

from addons.config.addon import Config
from addons.flow_data import CLIENT_NAME
from addons.ingress.body_budget import held_bytes, hold_body, release_body
from tests.addons.ingress.relays import relay
from tests.addons.proxy import Client, bounded

KEYS = {"relay_client_key": "ann:key-of-ann,bob:key-of-bob"}
KB = 1 << 10


@pytest.fixture
def small_budget() -> Iterator[None]:
    config = Config()
    with taddons.context(Proxyserver(), config) as context:
        context.configure(config, relay_max_bodies="10KB,6KB")
        yield


def flow_of(name: str) -> HTTPFlow:
    flow = tflow.tflow()
    flow.metadata[CLIENT_NAME] = name
    return flow


def test_bodies_of_one_client_and_of_all_are_bounded(small_budget: None) -> None:
    flows = [flow_of(name) for name in ("ann", "ann", "bob", "cid")]
    assert hold_body(flows[0], 4 * KB) and hold_body(flows[1], KB) and hold_body(flows[1], 2 * KB)
    assert not hold_body(flows[1], 2 * KB + 1)
    assert hold_body(flows[2], 3 * KB) and hold_body(flows[3], KB)
    assert not hold_body(flows[3], KB + 1)
    assert held_bytes() == 10 * KB
    release_body(flows[0])
    assert hold_body(flows[1], 6 * KB)
    for flow in flows * 2:
        release_body(flow)
    assert held_bytes() == 0


def test_room_of_flows_that_are_gone_is_given_back(small_budget: None) -> None:
    assert hold_body(flow_of("ann"), 6 * KB)
    gc.collect()
    flow = flow_of("ann")
    assert hold_body(flow, 6 * KB)
    release_body(flow)
    assert held_bytes() == 0


async def send_part(client: Client, name: str, size: int, path: str = "/v1/responses") -> None:
    """The head of a large request, and this much of its body."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key-of-{name}\r\n"
    client.writer.write(f"{head}Content-Length: 1000000\r\n\r\n".encode() + b" " * size)
    await client.writer.drain()


async def wait_until_held(size: int) -> None:
    async with asyncio.timeout(5):
        while held_bytes() != size:
            await asyncio.sleep(0.01)


@bounded
async def test_a_body_without_room_gets_a_429_and_is_dropped() -> None:
    async with (
        relay(relay_max_bodies="500KB,300KB", **KEYS) as port,
        Client.connect(port) as first,
        Client.connect(port) as second,
        Client.connect(port) as third,
    ):
        await send_part(first, "ann", 250 * KB)
        await wait_until_held(250 * KB)
        await send_part(second, "ann", 60 * KB)
        answer = await second.head()
        assert (answer.status, answer.headers["retry-after"]) == (429, "2")
        assert "relay_max_bodies" in json.loads(await second.rest())["error"]["message"]
        await send_part(third, "bob", 240 * KB)
        await wait_until_held(490 * KB)
        first.writer.write(b" " * 20 * KB)
        assert (await first.head()).status == 429
        await wait_until_held(240 * KB)
        third.writer.close()
        await wait_until_held(0)


@bounded
async def test_room_is_given_back_after_each_turn() -> None:
    async with relay(relay_max_bodies="300KB") as port, Client.connect(port) as client:
        body = json.dumps({"model": "demo", "input": "Hello. " * 30_000}).encode()
        assert 200 * KB < len(body) < 300 * KB
        for path in ("/v1/responses", "/v1/responses", "/v1/responses/input_tokens"):
            assert (await client.ask(path, body)).status == 200
            await wait_until_held(0)
        assert (await client.ask("/v1/responses", b" " * 200 * KB)).status == 400
        await wait_until_held(0)


@bounded
async def test_bodies_count_decompressed() -> None:
    async with relay(relay_max_bodies="300KB") as port, Client.connect(port) as client:
        body = json.dumps({"model": "demo", "input": "Hello. " * 60_000}).encode()
        answer = await client.ask("/v1/responses", gzip.compress(body), content_encoding="gzip")
        assert answer.status == 429 and b"relay_max_bodies" in answer.body
        await wait_until_held(0)
