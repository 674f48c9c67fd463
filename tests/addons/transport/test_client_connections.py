"""What a client can make a connection hold is bounded, and what it may send is served."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import h2.connection
import h2.exceptions
import pytest
from mitmproxy.connection import Connection
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.proxy.layers.http import Http1Server, HttpLayer

from addons.transport import client_connections
from addons.transport.addon import Transport
from addons.transport.client_connections import READ_AHEAD
from addons.transport.client_handlers import connection_handlers
from addons.transport.client_limits import (
    BodyLimit,
    ClientLimits,
    client_limits,
    limit_body,
    set_client_limits,
)
from addons.transport.idle_clients import idle_clients
from tests.addons.proxy import PATIENCE, Client, Client2, bounded, client_tls, proxy

HEAD_LIMIT, SURPLUS_LIMIT, BODY_LIMIT = 4000, 50_000, 100_000  # bytes
FLOOD = 200  # times as much as a limit is sent, where that is never accepted
HEAD = b"POST /%s HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
AT_ONCE = -1.0


@pytest.fixture(autouse=True)
def small_limits() -> Iterator[None]:
    limits = client_limits()
    set_client_limits(ClientLimits(HEAD_LIMIT, SURPLUS_LIMIT))
    yield
    set_client_limits(limits)


class Echo:
    """Answers each request with the size of its body, or refuses it at its head (`/refuse`)."""

    def __init__(self) -> None:
        self.flows: list[HTTPFlow] = []
        self.errors: list[str] = []
        self.hold = asyncio.Event()
        self.hold.set()

    def requestheaders(self, flow: HTTPFlow) -> None:
        self.flows.append(flow)
        if flow.request.path == "/refuse":
            flow.response = Response.make(403, b"refused")
            flow.request.headers.pop("expect", None)
        else:
            limit_body(flow, BodyLimit(BODY_LIMIT, lambda: self.refuse(flow)))

    def refuse(self, flow: HTTPFlow) -> None:
        flow.response = Response.make(413, b"too large")

    async def request(self, flow: HTTPFlow) -> None:
        await self.hold.wait()
        if not flow.response:
            content = flow.request.raw_content or b""
            flow.response = Response.make(200, b"%d" % len(content))

    def error(self, flow: HTTPFlow) -> None:
        self.errors.append(flow.error.msg if flow.error else "")


@asynccontextmanager
async def echo_client(
    tls: bool = False, tunnel: bool = False, **options: Any
) -> AsyncIterator[tuple[Client, Echo, int]]:
    echo = Echo()
    way: dict[str, Any] = (
        {"tunnel": "localhost"} if tunnel else {"tls": client_tls() if tls else None}
    )
    async with (
        proxy(Transport(), echo, **options) as (_, port),
        Client.connect(port, **way) as client,
    ):
        yield client, echo, port


async def answer_to(client: Client, *pieces: bytes) -> tuple[int, bytes]:
    """Status and body of the reply to these bytes."""
    for piece in pieces:
        client.writer.write(piece)
    await client.head()
    return client.answer.status, await client.rest()


async def flood(client: Client, piece: bytes, times: int = FLOOD) -> None:
    """Send as fast as the proxy accepts, and stop where it stops."""
    for _ in range(times):
        client.writer.write(piece)
        try:
            await asyncio.wait_for(client.writer.drain(), 1)
        except (OSError, TimeoutError):
            return


# Heads


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "start",
    [
        b"GET /" + b"x" * HEAD_LIMIT,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (HEAD_LIMIT // 6),
        b"GET / HTTP/1.1\r\nHost: localhost\r\nlong: " + b"x" * HEAD_LIMIT + b"\r\n\r\n",
        b"CONNECT api.openai.com:443 HTTP/1.1\r\n" + b"a: b\r\n" * (HEAD_LIMIT // 6),
    ],
)
@bounded
async def test_large_heads_get_a_431_at_once(start: bytes, tls: bool) -> None:
    async with echo_client(tls) as (client, echo, _):
        status, body = await answer_to(client, start)
        assert (status, client.answer.headers["connection"]) == (431, "close")
        assert "relay_max_head" in json.loads(body)["error"]["message"]
        assert echo.flows == []


@bounded
async def test_a_refused_client_that_sends_on_still_reads_the_reply() -> None:
    """Closing at once would reset the connection, and take the reply away."""
    async with echo_client() as (client, echo, _):
        sending = asyncio.create_task(flood(client, b"a: b\r\n" * 100_000, 20))
        status, _ = await answer_to(client, b"GET / HTTP/1.1\r\n")
        assert status == 431
        await sending


@bounded
async def test_a_refused_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_connections, "LINGER", 0.1)
    async with echo_client() as (client, _, _port):
        assert (await answer_to(client, b"x" * (HEAD_LIMIT + 1)))[0] == 431
        assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b""


@bounded
async def test_a_large_head_among_small_ones_is_found() -> None:
    async with echo_client() as (client, _, _port):
        assert await answer_to(client, HEAD % b"a" + b"\r\n") == (200, b"0")
        head = HEAD % b"b" + b"a: b\r\n" * 500
        assert len(head) < HEAD_LIMIT
        assert await answer_to(client, head + b"\r\n") == (200, b"0")
        assert (await answer_to(client, head + b"c: d\r\n" * 500 + b"\r\n"))[0] == 431


@bounded
async def test_a_small_head_before_a_large_body_is_small() -> None:
    async with echo_client() as (client, _, _port):
        head = HEAD % b"a" + b"Content-Length: %d\r\n\r\n" % (10 * HEAD_LIMIT)
        assert (await answer_to(client, head + b"x" * 10 * HEAD_LIMIT))[1] == b"%d" % (
            10 * HEAD_LIMIT
        )


@bounded
async def test_blank_lines_before_a_head_are_skipped() -> None:
    async with echo_client() as (client, _, _port):
        await flood(client, b"\r\n" * HEAD_LIMIT, 10)
        assert await answer_to(client, b"\r\n\r\n" + HEAD % b"a" + b"\r\n") == (200, b"0")
        two_requests = HEAD % b"a" + b"\r\n" + b"\r\n\r\n" + HEAD % b"b" + b"\r\n"
        assert await answer_to(client, two_requests) == (200, b"0")
        assert await answer_to(client) == (200, b"0")


@pytest.mark.parametrize(
    "head", [b"nonsense \x00\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"\x16\x03\r\n\r\n"]
)
@bounded
async def test_what_is_no_http_gets_an_error_in_json(head: bytes) -> None:
    async with echo_client() as (client, echo, _):
        status, body = await answer_to(client, head)
        assert status == 400
        assert "not valid HTTP" in json.loads(body)["error"]["message"]
        assert echo.flows == []


@bounded
async def test_requests_that_mitmproxy_refuses_get_an_error_in_json() -> None:
    async with echo_client() as (client, _, _port):
        head = HEAD % b"a" + b"Content-Length: 1\r\n" + CHUNKED
        status, body = await answer_to(client, head)
        assert status == 400 and "error" in json.loads(body)


@bounded
async def test_body_size_limit_of_mitmproxy_answers_in_json() -> None:
    for head, body in (
        (b"Content-Length: 5000\r\n\r\n", b""),
        (CHUNKED, b"1388\r\n" + b"x" * 5000 + b"\r\n"),
    ):
        async with echo_client(body_size_limit="1k") as (client, _, _port):
            status, reply = await answer_to(client, HEAD % b"a" + head + body)
            assert status == 413
            assert "body_size_limit" in json.loads(reply)["error"]["message"]


# Bodies


@bounded
async def test_trailers_are_dropped() -> None:
    async with echo_client() as (client, echo, _):
        for body in (b"3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"):
            assert await answer_to(client, HEAD % b"a" + CHUNKED + body) == (200, b"3")
        assert [flow.request.trailers for flow in echo.flows] == [None, None]


@bounded
async def test_trailers_may_arrive_late() -> None:
    async with echo_client() as (client, _, _port):
        for piece in (HEAD % b"a" + CHUNKED + b"3\r\nabc\r\n0\r\n", b"A: ", b"b\r\n"):
            client.writer.write(piece)
            await asyncio.sleep(0.02)
        assert await answer_to(client, b"\r\n") == (200, b"3")


@pytest.mark.parametrize("start", [b"1;", b"0\r\n"], ids=["line of a chunk", "trailers"])
@bounded
async def test_endless_lines_around_chunks_get_a_431(start: bytes) -> None:
    async with echo_client() as (client, echo, _):
        client.writer.write(HEAD % b"a" + CHUNKED + start)
        sending = asyncio.create_task(flood(client, b"a: b" * HEAD_LIMIT))
        status, body = await answer_to(client)
        assert (status, "relay_max_head" in json.loads(body)["error"]["message"]) == (431, True)
        await sending
        assert len(echo.errors) == 1 and "between the chunks" in echo.errors[0]


@bounded
async def test_small_chunks_are_joined() -> None:
    """Each chunk would be an object in memory, 50 bytes for 2."""
    pieces: list[int] = []

    class Spy(Echo):
        def requestheaders(self, flow: HTTPFlow) -> None:
            limit_body(flow, CountingLimit(pieces))

    async with proxy(Transport(), Spy()) as (_, port), Client.connect(port) as client:
        body = b"2\r\nab\r\n" * 10_000 + b"0\r\n\r\n"
        assert await answer_to(client, HEAD % b"a" + CHUNKED + body) == (200, b"20000")
    assert len(pieces) < 50


class CountingLimit(BodyLimit):
    """A limit that is never reached, and counts how often it is asked for."""

    def __init__(self, pieces: list[int]) -> None:
        super().__init__(1, lambda: None)
        vars(self)["pieces"] = pieces

    def __getattribute__(self, name: str) -> Any:
        if name == "max_bytes":
            vars(self)["pieces"].append(1)
            return 1 << 40
        return super().__getattribute__(name)


@pytest.mark.parametrize("framing", ["chunked", "length"])
@bounded
async def test_a_body_past_its_limit_is_answered_at_once(framing: str) -> None:
    async with echo_client() as (client, echo, _):
        head = CHUNKED if framing == "chunked" else b"Content-Length: 100000000\r\n\r\n"
        piece = b"x" * 10_000
        client.writer.write(HEAD % b"a" + head)
        sending = asyncio.create_task(
            flood(client, b"2710\r\n" + piece + b"\r\n" if framing == "chunked" else piece)
        )
        assert await answer_to(client) == (413, b"too large")
        assert client.answer.headers["connection"] == "close"
        await sending
        assert echo.flows[0].request.raw_content == b""
        assert len(echo.flows) == 1 and echo.errors == []


@bounded
async def test_a_body_at_its_limit_is_served() -> None:
    async with echo_client() as (client, _, _port):
        body = b"x" * BODY_LIMIT
        head = HEAD % b"a" + b"Content-Length: %d\r\n\r\n" % len(body)
        assert await answer_to(client, head + body) == (200, b"%d" % BODY_LIMIT)
        assert (await answer_to(client, head + body))[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: %d\r\n\r\n" % (SURPLUS_LIMIT + 1),
        CHUNKED,
        b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    ],
    ids=["long", "unknown", "expect"],
)
@bounded
async def test_a_refused_head_is_answered_before_its_body(head: bytes) -> None:
    async with echo_client() as (client, _, _port):
        assert await answer_to(client, HEAD % b"refuse" + head) == (403, b"refused")
        assert client.answer.headers["connection"] == "close"


@bounded
async def test_a_refused_request_with_a_small_body_keeps_its_connection() -> None:
    async with echo_client() as (client, echo, _):
        for _ in range(2):
            head = HEAD % b"refuse" + b"Content-Length: 5\r\n\r\n"
            assert await answer_to(client, head, b"x" * 5) == (403, b"refused")
            assert "connection" not in client.answer.headers
        assert await answer_to(client, HEAD % b"a" + b"\r\n") == (200, b"0")
        assert echo.flows[0].request.raw_content == b""


@pytest.mark.parametrize("way", ["plain", "tls", "tunnel"])
@pytest.mark.parametrize("size", [10, READ_AHEAD - 200, READ_AHEAD, 300_000, 3_000_000, 9_000_000])
@bounded
async def test_a_request_before_the_last_reply_is_read_when_its_turn_comes(
    size: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.addons.transport.test_client_connections.BODY_LIMIT", 10_000_000)
    async with echo_client(way == "tls", tunnel=way == "tunnel") as (client, echo, port):
        echo.hold.clear()
        pieces = [b"x" * each for each in (size, 1, size)]
        for piece in pieces:
            client.writer.write(HEAD % b"a" + b"Content-Length: %d\r\n\r\n" % len(piece) + piece)
        await asyncio.sleep(0.1)
        assert len(echo.flows) == 1
        echo.hold.set()
        for piece in pieces:
            assert await answer_to(client) == (200, b"%d" % len(piece))
        assert echo.errors == []


@pytest.mark.parametrize("way", ["plain", "tls", "tunnel"])
@bounded
async def test_what_is_sent_before_the_reply_waits_with_the_client(way: str) -> None:
    async with echo_client(way == "tls", tunnel=way == "tunnel") as (client, echo, port):
        echo.hold.clear()
        client.writer.write(HEAD % b"a" + b"\r\n")
        while not echo.flows:
            await asyncio.sleep(0.01)
        sending = asyncio.create_task(flood(client, b"x" * 1_000_000, 40))
        await asyncio.sleep(0.3)
        handler = connection_handlers()[echo.flows[0].client_conn.id]
        assert layer_buffer(handler) < 3 * READ_AHEAD
        assert not sending.done()
        echo.hold.set()
        assert await answer_to(client) == (200, b"0")
        assert (await answer_to(client))[0] == 431  # x…
        await sending


def layer_buffer(handler: Any) -> int:
    """How many bytes the HTTP/1 connections of a client hold."""
    layers = [layer for layer in handler.layer.context.layers if isinstance(layer, HttpLayer)]
    servers = [each for layer in layers for each in layer.connections.values()]
    return sum(len(each.buf) for each in servers if isinstance(each, Http1Server))


@bounded
async def test_a_client_that_leaves_while_it_waits_is_forgotten() -> None:
    async with echo_client() as (client, echo, port):
        echo.hold.clear()
        client.writer.write(HEAD % b"a" + b"\r\n")
        await flood(client, b"x" * 1_000_000, 5)
        client.writer.transport.abort()
        await asyncio.sleep(0.05)
        echo.hold.set()
        for _ in range(100):
            if not connection_handlers():
                break
            await asyncio.sleep(0.02)
        assert not connection_handlers()


# Idle clients


@bounded
async def test_a_client_is_idle_while_it_could_send_a_request() -> None:
    async with echo_client() as (client, echo, _):
        echo.hold.clear()
        client.writer.write(HEAD % b"a" + b"\r\n")
        while not echo.flows:
            await asyncio.sleep(0.01)
        assert ports(idle_clients(AT_ONCE)) == []
        echo.hold.set()
        assert await answer_to(client) == (200, b"0")
        own_port = client.writer.get_extra_info("sockname")[1]
        assert ports(idle_clients(AT_ONCE)) == [own_port]
        client.writer.write(HEAD % b"b")  # half a head is no progress
        await asyncio.sleep(0.05)
        assert ports(idle_clients(0.04)) == [own_port]


@bounded
async def test_a_client_is_not_idle_while_its_body_comes_on() -> None:
    earlier = idle_clients(-1)  # all that wait
    async with echo_client() as (client, _, _port):
        client.writer.write(HEAD % b"a" + b"Content-Length: 100\r\n\r\n")
        for count in (1, 0):  # idle after a while, and no longer after another byte
            await wait_for_idle(count, earlier)
            client.writer.write(b"x")


def ports(clients: Sequence[Any]) -> list[int]:
    return [client.peername[1] for client in clients]


# HTTP/2


@asynccontextmanager
async def http2_client() -> AsyncIterator[tuple[Client2, Echo]]:
    echo = Echo()
    async with (
        proxy(Transport(), echo, http2=True) as (_, port),
        Client2.connect(port) as client,
    ):
        yield client, echo


@bounded
async def test_http2_clients_learn_the_limit_of_heads() -> None:
    async with http2_client() as (client, _):
        while not client.wire.remote_settings.max_header_list_size:
            await client.read()
        assert client.wire.remote_settings.max_header_list_size == HEAD_LIMIT


@bounded
async def test_http2_heads_are_bounded() -> None:
    async with http2_client() as (client, echo):
        stream = client.wire.get_next_available_stream_id()
        pseudo = [
            *((":method", "GET"), (":scheme", "https")),
            *((":authority", "localhost"), (":path", "/")),
        ]
        client.wire.send_headers(stream, [*pseudo, ("long", "x" * 3 * HEAD_LIMIT)], end_stream=True)
        client.flush()
        with pytest.raises((EOFError, OSError, h2.exceptions.ProtocolError)):
            while True:
                await client.read()
        assert echo.flows == []


def begin_upload(client: Client2) -> int:
    """Send a head whose body follows, and return its stream."""
    stream = client.wire.get_next_available_stream_id()
    pseudo = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": "/a"}
    client.wire.send_headers(stream, list(pseudo.items()))
    client.flush()
    return stream


IDLE_TIME = 1.0  # s; a shorter one could pass between two polls on a busy machine


def idle_count(earlier: Sequence[Connection]) -> int:
    """How many clients have been idle for IDLE_TIME, apart from those that earlier tests left."""
    return sum(client not in earlier for client in idle_clients(IDLE_TIME))


async def wait_for_idle(count: int, earlier: Sequence[Connection]) -> None:
    while idle_count(earlier) != count:
        await asyncio.sleep(0.01)


@bounded
async def test_http2_client_whose_uploads_stall_is_idle() -> None:
    earlier = idle_clients(-1)  # all that wait
    async with http2_client() as (client, echo):
        first, second = begin_upload(client), begin_upload(client)
        await wait_for_idle(1, earlier)
        client.wire.ping(b"12345678")  # no progress
        client.flush()
        await asyncio.sleep(0.05)
        assert idle_count(earlier) == 1
        client.wire.send_data(first, b"x")
        client.flush()
        await wait_for_idle(0, earlier)
        await wait_for_idle(1, earlier)
        echo.hold.clear()
        client.wire.send_data(second, b"x", end_stream=True)
        client.flush()
        await wait_for_idle(0, earlier)
        await asyncio.sleep(1.2)
        assert idle_count(earlier) == 0  # it waits for a reply
        echo.hold.set()
        assert (await client.rest(second)).body == b"1"
        await wait_for_idle(1, earlier)
        client.wire.end_stream(first)
        client.flush()
        assert (await client.rest(first)).body == b"1"


@bounded
async def test_http2_body_past_its_limit_is_answered_and_stopped() -> None:
    async with http2_client() as (client, echo):
        stream = client.wire.get_next_available_stream_id()
        pseudo = [
            *((":method", "POST"), (":scheme", "https")),
            *((":authority", "localhost"), (":path", "/a")),
        ]
        client.wire.send_headers(stream, pseudo)
        for _ in range(2 * BODY_LIMIT // 10_000):
            while client.wire.local_flow_control_window(stream) < 10_000:
                await client.read()
            client.wire.send_data(stream, b"x" * 10_000)
            client.flush()
        while stream not in client.ended:
            await client.read()
        assert (client.answers[stream].status, client.answers[stream].body) == (413, b"too large")
        assert (await client.rest(client.send("/b", b"12345"))).body == b"5"
        assert len(echo.flows) == 2
