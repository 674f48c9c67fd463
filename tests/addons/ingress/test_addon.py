"""Connections, tunnels and TLS: which are refused, decrypted, or passed untouched."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mitmproxy import ctx
from mitmproxy.test import tflow

from addons.ingress import Ingress
from addons.launch import available_port
from tests.addons.ingress.relays import KEY, own_address, relay, status_of
from tests.addons.proxy import (
    Call,
    Client,
    bounded,
    client_tls,
    confdir,
    server_tls,
    upstream,
)

HELLO = b'{"model": "demo", "input": "Hello."}'
CODEX_HEADERS = {"user_agent": "codex_exec/0.169.0"}


@bounded
async def test_tls_of_other_hosts_passes_untouched() -> None:
    def handler(call: Call) -> None:
        call.reply(200, b"untouched")

    async with upstream(handler, tls=server_tls()) as server, relay() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        target = f"127.0.0.1:{server.port}"
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        context = client_tls()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # it is compared below
        await writer.start_tls(context, server_hostname="other.example")
        certificate_bytes = ssl.PEM_cert_to_DER_cert(pem_certificate(confdir() / "127.0.0.1.pem"))
        assert writer.get_extra_info("ssl_object").getpeercert(True) == certificate_bytes
        client = Client(reader, writer)
        assert (await client.ask("/v1/responses")).body == b"untouched"
        writer.close()


@bounded
async def test_tls_of_another_host_that_cannot_be_reached_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed_port = available_port(0)
    async with relay() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        target = f"127.0.0.1:{closed_port}"
        writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await writer.start_tls(client_tls(), server_hostname="other.example")
        writer.close()
    assert f"relay: no tunnel to {target}: nothing listens at https://{target}\n" in caplog.text


def pem_certificate(file: Path) -> str:
    text = file.read_text()
    return text[text.index("-----BEGIN CERTIFICATE") :]


@bounded
async def test_tls_of_openais_hosts_is_decrypted_without_contact() -> None:
    async with relay() as port:
        for host in ("api.openai.com", "chatgpt.com"):
            async with Client.connect(port, tunnel=host) as client:
                assert await status_of(client, "/some/telemetry", host=host, **CODEX_HEADERS) == 404


@bounded
async def test_own_port_through_the_proxy_is_the_own_port() -> None:
    async with relay() as port:
        async with Client.connect(port) as client:
            url = f"http://127.0.0.1:{port}"
            assert await status_of(client, f"{url}/health", host=f"127.0.0.1:{port}") == 200
            assert await status_of(client, f"{url}/health", host="evil.example") == 421
            assert (await client.ask(f"{url}/v1/responses", HELLO)).status == 200
        for tls in (False, True):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            if tls:
                await writer.start_tls(client_tls(), server_hostname="localhost")
            assert (
                await status_of(Client(reader, writer), "/health", host=f"localhost:{port}") == 200
            )
            writer.close()
        async with Client.connect(port, tls=client_tls()) as client:
            assert await status_of(client, "/health", host=f"localhost:{port}") == 200


@bounded
async def test_other_machines_are_refused_before_a_byte_is_read() -> None:
    own_host = own_address()
    async with relay(mode=["regular@0.0.0.0:0"]) as port:
        reader, writer = await asyncio.open_connection(own_host, port)
        with pytest.raises((EOFError, ConnectionError)):
            await asyncio.wait_for(reader.readexactly(1), 5)
        writer.close()


@bounded
async def test_other_machines_with_a_key_reach_the_relay_and_openai_alone() -> None:
    own_host = own_address()
    options = {"relay_client_key": KEY, "relay_hosts": own_host, "mode": ["regular@0.0.0.0:0"]}
    async with upstream(lambda call: call.reply(200)) as server, relay(**options) as port:
        reader, writer = await asyncio.open_connection(own_host, port)
        client, key = Client(reader, writer), {"authorization": f"Bearer {KEY}"}
        assert await status_of(client, "/health", host=f"{own_host}:{port}") == 200
        assert await status_of(client, "/v1/models", host=own_host, **key) == 200
        assert await status_of(client, "/v1/models", host=own_host) == 401
        assert await status_of(client, f"http://127.0.0.1:{server.port}/", **key) == 403
        assert await status_of(client, "http://api.openai.com:8080/v1/x", **key) == 403
        for target in (
            *(f"127.0.0.1:{server.port}", "example.com:443"),
            *("api.openai.com:25", "chatgpt.com:22"),
        ):
            assert await connect_status(own_host, port, target) == 403
        assert await connect_status(own_host, port, f"{own_host}:{port}") == 200
        writer.close()
    assert server.seen == []


@pytest.mark.parametrize("host", ["127.0.0.2", "[::ffff:127.0.0.1]"])
@bounded
async def test_tunnel_to_the_relay_itself_is_refused(host: str) -> None:
    """After fewer than three bytes mitmproxy treats the connection as raw TCP."""
    own_host = own_address()
    options = {"relay_client_key": KEY, "relay_hosts": own_host, "mode": ["regular@0.0.0.0:0"]}
    async with upstream(lambda call: call.reply(200)) as server, relay(**options) as port:
        reader, writer = await asyncio.open_connection(own_host, port)
        writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GE")
        await asyncio.sleep(0.3)
        writer.write(f"T http://127.0.0.1:{server.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert server.seen == []


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        ("", 407),
        (f"Bearer {KEY}", 407),
        ("Basic ###", 407),
        (basic("relay:wrong"), 407),
        (basic(f"relay:{KEY}:"), 407),
        (basic(f"relay:{KEY}"), 200),
        (basic(f"{KEY}:"), 200),
    ],
)
@bounded
async def test_other_machines_need_a_key_for_tunnels_to_openai(
    credentials: str, status: int
) -> None:
    own_host = own_address()
    async with relay(relay_client_key=KEY, mode=["regular@0.0.0.0:0"]) as port:
        for target in ("api.openai.com:443", "chatgpt.com:80"):
            assert await connect_status(own_host, port, target, credentials) == status
            assert await connect_status("127.0.0.1", port, target, credentials) == 200


@asynccontextmanager
async def remote_tunnel(port: int, host: str, key: str) -> AsyncIterator[Client]:
    """A client on another machine, in a tunnel to this host."""
    reader, writer = await asyncio.open_connection(own_address(), port)
    head = f"CONNECT {host}:443 HTTP/1.1\r\nProxy-Authorization: {basic('relay:' + key)}\r\n\r\n"
    writer.write(head.encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    await writer.start_tls(client_tls(), server_hostname=host)
    yield Client(reader, writer)
    writer.close()


@bounded
async def test_key_of_a_tunnel_counts_for_the_requests_in_it() -> None:
    keys = f"laptop:{KEY},other-key"
    async with (
        relay(relay_client_key=keys, mode=["regular@0.0.0.0:0"]) as port,
        remote_tunnel(port, "api.openai.com", KEY) as client,
    ):
        host = {"host": "api.openai.com"}
        answer = await client.ask("/v1/responses", HELLO, **host, authorization="Bearer of-openai")
        assert answer.status == 200
        assert await status_of(client, "/v1/nothing", **host, **CODEX_HEADERS) == 404
        ctx.options.update(relay_client_key="laptop:new-key,other-key")
        assert (await client.ask("/v1/responses", HELLO, **host)).status == 400
        assert await status_of(client, "/v1/nothing", **host) == 400  # would go on to OpenAI


@bounded
async def test_plain_requests_of_other_machines_to_openai_need_a_key() -> None:
    own_host = own_address()
    async with relay(relay_client_key=KEY, mode=["regular@0.0.0.0:0"]) as port:
        reader, writer = await asyncio.open_connection(own_host, port)
        client, url = Client(reader, writer), "http://api.openai.com/v1"
        assert await status_of(client, f"{url}/files", host="api.openai.com") == 400
        assert await status_of(client, f"{url}/x", host="api.openai.com", **CODEX_HEADERS) == 400
        headers = {"host": "api.openai.com", "proxy_authorization": basic(f"relay:{KEY}")}
        assert (await client.ask(f"{url}/responses", HELLO, **headers)).status == 200
        writer.close()


async def connect_status(own_host: str, port: int, target: str, credentials: str = "") -> int:
    reader, writer = await asyncio.open_connection(own_host, port)
    header = f"Proxy-Authorization: {credentials}\r\n" if credentials else ""
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{header}\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize("hook", ["requestheaders", "http_connect"])
@bounded
async def test_a_request_is_refused_if_its_check_fails(hook: str) -> None:
    flow = tflow.tflow()
    flow.client_conn.peername = None
    with pytest.raises(AssertionError, match="failed at the check of a request"):  # it is logged
        async with relay():
            getattr(Ingress(), hook)(flow)
    assert flow.response and flow.response.status_code == 500
    assert b"mitmcodex failed at this request" in (flow.response.content or b"")
