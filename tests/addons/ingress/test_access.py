import asyncio
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mitmproxy import connection, ctx
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from addons.demo_provider import Demo
from addons.ingress import access as guard
from tests.addons.chain import chain_of
from tests.addons.proxy import (
    Call,
    Client,
    bounded,
    client_tls,
    confdir,
    proxy,
    server_tls,
    upstream,
)

KEY = "a-client-key"
HELLO = b'{"model": "demo", "input": "Hello."}'
CODEX = {"user_agent": "codex_exec/0.169.0"}


@asynccontextmanager
async def relay(**options: Any) -> AsyncIterator[int]:
    chain = chain_of(Demo())
    async with proxy(*chain, **options) as (_, port):
        yield port


async def get(client: Client, target: str, **headers: str) -> int:
    client.send(target, b"", method="GET", **headers)
    await client.head()
    await client.rest()
    return client.answer.status


@bounded
async def test_our_port_answers_for_familiar_hosts_alone() -> None:
    async with relay(relay_hosts="relay.lan") as port, Client.connect(port) as client:
        for host in (
            "127.0.0.1:1",
            "localhost",
            "LOCALHOST:9",
            "[::1]:80",
            "127.1.2.3",
            "x.localhost",
        ):
            assert await get(client, "/health", host=host) == 200, host
        assert await get(client, "/health", host="Relay.LAN:8080") == 200
        for host in ("evil.example", "127.0.0.1.evil.example", "192.168.1.5", "chatgpt.com"):
            assert await get(client, "/health", host=host) == 421, host
            answer = await client.ask("/v1/responses", HELLO, host=host)
            assert answer.status == 421
            assert b'"code":"misdirected_request"' in answer.body


@bounded
async def test_pages_of_other_hosts_are_refused() -> None:
    async with relay(relay_hosts="relay.lan") as port, Client.connect(port) as client:
        for origin in ("http://localhost:3000", "https://127.0.0.1", "http://relay.lan"):
            assert await get(client, "/health", origin=origin) == 200, origin
        for origin in (
            "https://evil.example",
            "null",
            "",
            "http://[",
            "http://localhost.evil.example",
        ):
            assert await get(client, "/health", origin=origin) == 403, origin
            assert (await client.ask("/v1/responses", HELLO, origin=origin)).status == 403


@bounded
async def test_with_a_client_key_our_port_wants_it() -> None:
    async with relay(relay_client_key=f"other-key,{KEY}") as port, Client.connect(port) as client:
        assert await get(client, "/health") == 200
        for sent in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {KEY}"}):
            assert await get(client, "/v1/models", **sent) == 401
            assert await get(client, "/", **sent) == 401
            answer = await client.ask("/v1/responses", HELLO, **sent)
            assert answer.status == 401
            assert b'"code":"invalid_api_key"' in answer.body
            assert KEY.encode() not in answer.body
        for key in (KEY, "other-key"):
            sent = {"authorization": f"Bearer {key}"}
            assert await get(client, "/v1/models", **sent) == 200
            assert (await client.ask("/v1/responses", HELLO, **sent)).status == 200


@bounded
async def test_with_a_client_key_relayed_requests_want_it_too() -> None:
    host = {"host": "api.openai.com"}
    async with (
        relay(relay_client_key=KEY) as port,
        Client.connect(port, tunnel="api.openai.com") as client,
    ):
        answer = await client.ask("/v1/responses", HELLO, **host)
        assert answer.status == 400  # at a 401 Codex would refresh its login
        assert (await client.ask("/v1/responses/compact", HELLO, **host)).status == 400
        sent = {**host, "authorization": f"Bearer {KEY}"}
        assert (await client.ask("/v1/responses", HELLO, **sent)).status == 200
        assert (await client.ask("/v1/responses/compact", HELLO, **sent)).status == 200
        assert await get(client, "/v1/models", **host, **CODEX) == 400
        assert await get(client, "/v1/nothing", **host, **CODEX) == 404


@bounded
async def test_other_hosts_keep_their_own_certificate() -> None:
    def handler(call: Call) -> None:
        call.reply(200, b"untouched")

    async with upstream(handler, tls=server_tls()) as other, relay() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        address = f"127.0.0.1:{other.port}"
        writer.write(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        context = client_tls()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # it is compared below
        await writer.start_tls(context, server_hostname="other.example")
        theirs = ssl.PEM_cert_to_DER_cert(certificate(confdir() / "127.0.0.1.pem"))
        assert writer.get_extra_info("ssl_object").getpeercert(True) == theirs
        client = Client(reader, writer)
        assert (await client.ask("/v1/responses")).body == b"untouched"
        writer.close()


def certificate(file: Any) -> str:
    text: str = file.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


@bounded
async def test_openais_hosts_are_opened_without_contact() -> None:
    async with relay() as port:
        for host in ("api.openai.com", "chatgpt.com"):
            async with Client.connect(port, tunnel=host) as client:
                assert await get(client, "/some/telemetry", host=host, **CODEX) == 404


@bounded
async def test_a_proxied_way_to_our_own_port_is_our_own_port() -> None:
    async with relay() as port:
        async with Client.connect(port) as client:
            url = f"http://127.0.0.1:{port}"
            assert await get(client, f"{url}/health", host=f"127.0.0.1:{port}") == 200
            assert await get(client, f"{url}/health", host="evil.example") == 421
            assert (await client.ask(f"{url}/v1/responses", HELLO)).status == 200
        for tls in (False, True):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            if tls:
                await writer.start_tls(client_tls(), server_hostname="localhost")
            assert await get(Client(reader, writer), "/health", host=f"localhost:{port}") == 200
            writer.close()
        async with Client.connect(port, tls=client_tls()) as client:
            assert await get(client, "/health", host=f"localhost:{port}") == 200


@bounded
async def test_an_earlier_refusal_stands() -> None:
    async with relay(proxyauth="user:word") as port, Client.connect(port) as client:
        assert await get(client, "/health") == 407
        assert (await client.ask("/v1/responses", HELLO)).status == 407


# Clients on other machines: here they come from this machine's address in its network.


def address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine is in no network")
        found: str = probe.getsockname()[0]
        return found


@bounded
async def test_other_machines_are_refused_before_a_byte_is_read() -> None:
    here = address()
    async with relay(mode=["regular@0.0.0.0:0"]) as port:
        reader, writer = await asyncio.open_connection(here, port)
        with pytest.raises((EOFError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()


@bounded
async def test_other_machines_with_a_key_reach_us_and_openai_alone() -> None:
    here = address()
    options = {"relay_client_key": KEY, "relay_hosts": here, "mode": ["regular@0.0.0.0:0"]}
    async with upstream(lambda call: call.reply(200)) as other, relay(**options) as port:
        reader, writer = await asyncio.open_connection(here, port)
        client, key = Client(reader, writer), {"authorization": f"Bearer {KEY}"}
        assert await get(client, "/health", host=f"{here}:{port}") == 200
        assert await get(client, "/v1/models", host=here, **key) == 200
        assert await get(client, "/v1/models", host=here) == 401
        assert await get(client, f"http://127.0.0.1:{other.port}/", **key) == 403
        for target in (f"127.0.0.1:{other.port}", "example.com:443"):
            assert await connect(here, port, target) == 403
        assert await connect(here, port, "chatgpt.com:443") == 200
        assert await connect(here, port, f"{here}:{port}") == 200
        writer.close()
    assert other.seen == []


@bounded
async def test_a_kept_connection_does_not_outlive_the_key() -> None:
    here = address()
    options = {"relay_client_key": KEY, "relay_hosts": here, "mode": ["regular@0.0.0.0:0"]}
    async with relay(**options) as port:
        reader, writer = await asyncio.open_connection(here, port)
        client, key = Client(reader, writer), {"authorization": f"Bearer {KEY}"}
        assert await get(client, "/v1/models", host=here, **key) == 200
        ctx.options.update(relay_client_key=None)
        assert await get(client, "/v1/models", host=here, **key) == 403
        assert await get(client, "/health", host=here) == 403
        writer.close()


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.1]"])
@bounded
async def test_no_tunnel_to_ourselves_makes_a_client_local(host: str) -> None:
    """Fewer than three bytes, and mitmproxy takes what follows for raw TCP."""
    here = address()
    options = {"relay_client_key": KEY, "relay_hosts": here, "mode": ["regular@0.0.0.0:0"]}
    async with upstream(lambda call: call.reply(200)) as other, relay(**options) as port:
        reader, writer = await asyncio.open_connection(here, port)
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GE")
        await asyncio.sleep(0.3)
        writer.write(f"T http://127.0.0.1:{other.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert other.seen == []


@bounded
async def test_a_refused_body_is_not_kept() -> None:
    here = address()
    options = {"relay_client_key": KEY, "relay_hosts": here, "mode": ["regular@0.0.0.0:0"]}
    async with relay(**options) as port:
        reader, writer = await asyncio.open_connection(here, port)
        head = f"POST /v1/responses HTTP/1.1\r\nHost: {here}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode())
        tracemalloc.start()
        for _ in range(50):
            writer.write(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
            await writer.drain()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        writer.write(b"0\r\n\r\n")
        assert (await asyncio.wait_for(reader.readline(), 5)).split()[1] == b"401"
        writer.close()
    assert kept < 20e6


async def connect(here: str, port: int, target: str) -> int:
    reader, writer = await asyncio.open_connection(here, port)
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


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
def test_who_is_on_this_machine(peer: str, mode: str, remote: bool) -> None:
    client: connection.Client = tflow.tclient_conn()
    client.peername = (peer, 5000)
    client.proxy_mode = ProxyMode.parse(mode)
    assert guard.remote(client) is remote


@pytest.mark.parametrize("head", ["GET / HTTP/1.1\r\n\r\n", "GET /v1/models HTTP/1.0\r\n\r\n"])
@bounded
async def test_a_request_without_host_is_told_so_in_json(head: str) -> None:
    async with relay() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readuntil(b"}}"), 5)
        assert answer.split()[1] == b"400"
        assert b"application/json" in answer
        assert b"no Host header" in answer and b"unknown" not in answer
        writer.close()
