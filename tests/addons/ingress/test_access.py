"""Which clients may send which requests, and with which key."""

import asyncio
import tracemalloc

import pytest
from mitmproxy import connection, ctx
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from addons.ingress.access import is_remote_client
from tests.addons.ingress.relays import KEY, own_address, relay, status_of
from tests.addons.proxy import (
    Client,
    bounded,
)

HELLO = b'{"model": "demo", "input": "Hello."}'
CODEX_HEADERS = {"user_agent": "codex_exec/0.169.0"}


@bounded
async def test_own_port_answers_for_trusted_hosts_alone() -> None:
    async with relay(relay_hosts="relay.lan") as port, Client.connect(port) as client:
        for host in (
            "127.0.0.1:1",
            "localhost",
            "LOCALHOST:9",
            "[::1]:80",
            "127.1.2.3",
            "x.localhost",
        ):
            assert await status_of(client, "/health", host=host) == 200, host
        assert await status_of(client, "/health", host="Relay.LAN:8080") == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "192.168.1.5", "chatgpt.com"):
            assert await status_of(client, "/health", host=host) == 421, host
            answer = await client.ask("/v1/responses", HELLO, host=host)
            assert answer.status == 421
            assert b'"code":"misdirected_request"' in answer.body


@bounded
async def test_pages_of_other_hosts_are_refused() -> None:
    async with relay(relay_hosts="relay.lan") as port, Client.connect(port) as client:
        for origin in ("http://localhost:3000", "https://127.0.0.1", "http://relay.lan"):
            assert await status_of(client, "/health", origin=origin) == 200, origin
        for origin in (
            "https://evil.example",
            "null",
            "",
            "http://[",
            "http://localhost.evil.example",
        ):
            assert await status_of(client, "/health", origin=origin) == 403, origin
            assert (await client.ask("/v1/responses", HELLO, origin=origin)).status == 403


@bounded
async def test_own_port_needs_the_client_key() -> None:
    async with relay(relay_client_key=f"other-key,{KEY}") as port, Client.connect(port) as client:
        assert await status_of(client, "/health") == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}):
            assert await status_of(client, "/v1/models", **headers) == 401
            assert await status_of(client, "/", **headers) == 401
            answer = await client.ask("/v1/responses", HELLO, **headers)
            assert answer.status == 401
            assert b'"code":"invalid_api_key"' in answer.body
            assert KEY.encode() not in answer.body
        for key in (KEY, "other-key"):
            headers = {"authorization": f"Bearer {key}"}
            assert await status_of(client, "/v1/models", **headers) == 200
            assert (await client.ask("/v1/responses", HELLO, **headers)).status == 200


@bounded
async def test_relayed_requests_need_the_client_key() -> None:
    host = {"host": "api.openai.com"}
    async with (
        relay(relay_client_key=KEY) as port,
        Client.connect(port, tunnel="api.openai.com") as client,
    ):
        answer = await client.ask("/v1/responses", HELLO, **host)
        assert answer.status == 400  # at a 401 Codex would refresh its login
        assert (await client.ask("/v1/responses/compact", HELLO, **host)).status == 400
        headers = {**host, "authorization": f"Bearer {KEY}"}
        assert (await client.ask("/v1/responses", HELLO, **headers)).status == 200
        assert (await client.ask("/v1/responses/compact", HELLO, **headers)).status == 200
        assert await status_of(client, "/v1/models", **host, **CODEX_HEADERS) == 400
        assert await status_of(client, "/v1/nothing", **host, **CODEX_HEADERS) == 404


@bounded
async def test_refusal_of_another_addon_stands() -> None:
    async with relay(proxyauth="user:word") as port, Client.connect(port) as client:
        assert await status_of(client, "/health") == 407
        assert (await client.ask("/v1/responses", HELLO)).status == 407


@bounded
async def test_open_connection_does_not_outlive_the_key() -> None:
    own_host = own_address()
    options = {"relay_client_key": KEY, "relay_hosts": own_host, "mode": ["regular@0.0.0.0:0"]}
    async with relay(**options) as port:
        reader, writer = await asyncio.open_connection(own_host, port)
        client, key = Client(reader, writer), {"authorization": f"Bearer {KEY}"}
        assert await status_of(client, "/v1/models", host=own_host, **key) == 200
        ctx.options.update(relay_client_key=None)
        assert await status_of(client, "/v1/models", host=own_host, **key) == 403
        assert await status_of(client, "/health", host=own_host) == 403
        writer.close()


@bounded
async def test_body_of_a_refused_request_is_not_stored() -> None:
    own_host = own_address()
    options = {"relay_client_key": KEY, "relay_hosts": own_host, "mode": ["regular@0.0.0.0:0"]}
    async with relay(**options) as port:
        reader, writer = await asyncio.open_connection(own_host, port)
        head = (
            f"POST /v1/responses HTTP/1.1\r\nHost: {own_host}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        writer.write(head.encode())
        tracemalloc.start()
        for _ in range(50):
            writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            await writer.drain()
        memory, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        writer.write(b"0\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"401"
        writer.close()
    assert memory < 20e6


@pytest.mark.parametrize(
    ("peer", "mode", "remote"),
    [
        ("127.0.0.1", "regular", False),
        ("127.9.9.9", "regular", False),
        ("::1", "regular", False),
        ("::ffff:127.0.0.1", "regular", False),
        ("::ffff:192.168.1.9", "regular", True),
        ("192.168.1.9", "regular", True),
        ("fe80::1%eth0", "regular", True),
        ("2001:db8::1", "regular", True),
        ("nonsense", "regular", True),
        ("192.168.1.9", "local", False),  # captured on this machine
    ],
)
def test_remote_clients_are_those_of_other_machines(peer: str, mode: str, remote: bool) -> None:
    client: connection.Client = tflow.tclient_conn()
    client.peername = (peer, 5000)
    client.proxy_mode = ProxyMode.parse(mode)
    assert is_remote_client(client) is remote


@pytest.mark.parametrize("head", ["GET / HTTP/1.1\r\n\r\n", "GET /v1/models HTTP/1.0\r\n\r\n"])
@bounded
async def test_request_without_host_gets_an_error_in_json(head: str) -> None:
    async with relay() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
        assert answer.split()[1] == b"400"
        assert b"application/json" in answer
        assert b"no Host header" in answer and b"unknown" not in answer
        writer.close()
