import asyncio
import contextlib
import gc
import importlib
import logging
import math
import re
import sys
import time
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http, version
from mitmproxy.proxy.layers import http as layers

from addons.exchange.active import opening
from addons.transport.plan import line_of
from addons.transport.relay_stream import Line, RelayStream, Transport, attach, own, retry_policy
from tests.addons.proxy import (
    Answer,
    Call,
    Client,
    Client2,
    Upstream,
    bounded,
    client_tls,
    proxy,
    server_tls,
    upstream,
)
from translate import Reply, Way, exchange, providers

BEAT = 0.06
SOON = 0.5  # s within which upstream must see that the client left


class Spoken:
    """An exchange whose words are easy to find again in what the client received."""

    def heartbeat(self) -> bytes:
        return b"<beat>"

    def fail(self, status: int, body: bytes, retry_after: str | None) -> Reply:
        text = b"<fail %d %s %s>" % (status, body, str(retry_after).encode())
        return Reply(status, {"content-type": "text/x-failed"}, text, text)

    def unreachable(self, reason: str) -> Reply:
        return Reply(502, {"content-type": "text/x-failed"}, f"<lost {reason}>".encode(), b"")

    def cut(self, reason: str) -> bytes:
        return f"<cut {reason}>".encode()


class Whole(Spoken):
    """One for a client that did not ask for a stream."""

    def heartbeat(self) -> bytes:
        return b""


@dataclass
class Relay:
    """The addon under which the transport is tried: sends every request to one port."""

    port: int
    scheme: str = "http"
    exchange: Any = field(default_factory=Spoken)
    heartbeat: float = BEAT
    silence: float = 10.0
    retry: Callable[[http.HTTPFlow, str | None, int], float | None] = lambda *_: None
    hold: float = 0.0  # s that the request hook takes
    dial: float = 0.0  # s that connecting takes
    stream: Callable[[bytes], Any] = lambda data: data or []
    more: dict[str, Any] = field(default_factory=dict)  # of the line
    hooks: list[str] = field(default_factory=list)
    flows: list[http.HTTPFlow] = field(default_factory=list)

    async def request(self, flow: http.HTTPFlow) -> None:
        flow.metadata["own"] = own(flow)
        self.flows.append(flow)
        request = flow.request.copy()
        request.scheme, request.host, request.port = self.scheme, "127.0.0.1", self.port
        line = Line(
            exchange=self.exchange,
            request=request,
            heartbeat=self.heartbeat,
            silence=self.silence,
            retry=self.retry,
            **self.more,
        )
        attach(flow, line)
        await asyncio.sleep(self.hold)

    async def server_connect(self, _: object) -> None:
        await asyncio.sleep(self.dial)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        self.hooks.append(f"head {flow.response.status_code}")
        if flow.response.headers.get("content-type") == "text/event-stream":
            flow.response.stream = self.stream

    def response(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        self.hooks.append(f"response {flow.response.status_code}")

    def error(self, flow: http.HTTPFlow) -> None:
        assert flow.error
        self.hooks.append(f"error {flow.error.msg}")


@contextlib.asynccontextmanager
async def relay(
    *handlers: Callable[[Call], Any], tls: bool = False, **how: Any
) -> AsyncIterator[tuple[Upstream, Relay, int]]:
    async with upstream(*handlers, tls=server_tls("http/1.1") if tls else None) as up:
        addon = Relay(up.port, "https" if tls else "http", **how)
        async with proxy(Transport(), addon, ssl_insecure=True) as (_, port):
            yield up, addon, port


def every(delay: float, upto: int = 3) -> Callable[[http.HTTPFlow, str | None, int], float | None]:
    return lambda flow, error, attempt: delay if attempt < upto else None


def fine(call: Call) -> None:
    call.stream(b"hello ", b"world")
    call.end()


def failing(status: int, body: bytes = b"no", **headers: str) -> Callable[[Call], None]:
    return lambda call: call.reply(status, body, **headers)


async def patient(call: Call) -> None:
    await asyncio.sleep(0.2)
    fine(call)


async def mute(call: Call) -> None:
    await call.left()


def words(body: bytes) -> bytes:
    """What is left without the heartbeats."""
    return body.replace(b"<beat>", b"")


async def raw(port: int, kind: str) -> Answer:
    """The same request by each of the ways in which a client reaches us."""
    if kind == "h2":
        async with Client2.connect(port) as two:
            return await two.rest(two.send("/v1/responses"))
    tunnel = "api.openai.com" if kind == "tunnel" else ""
    tls = client_tls() if kind == "tls" else None
    async with Client.connect(port, tunnel=tunnel, tls=tls) as client:
        target = "http://far.test/v1/responses" if kind == "proxied" else "/v1/responses"
        return await client.ask(target)


WAYS = ["direct", "proxied", "tunnel", "tls", "h2"]


@pytest.mark.parametrize("kind", WAYS)
@bounded
async def test_knows_what_is_meant_for_our_own_port(kind: str) -> None:
    async with relay(fine) as (_, addon, port):
        assert (await raw(port, kind)).body == b"hello world"
        assert addon.flows[0].metadata["own"] is (kind in ("direct", "tls", "h2"))


@pytest.mark.parametrize("tls", [False, True], ids=["plain upstream", "TLS upstream"])
@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_heartbeats_before_the_first_byte(kind: str, tls: bool) -> None:
    async with relay(patient, tls=tls) as (_, addon, port):
        answer = await raw(port, kind)
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
        await asyncio.sleep(0.2)
        call.chunks(b"two")
        call.end()

    async with relay(handler) as (_, _, port):
        body = (await raw(port, kind)).body
        assert 2 <= body.count(b"<beat>") <= 12
        assert words(body) == b"one two"


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_heartbeats_while_it_waits_between_attempts(kind: str) -> None:
    async with relay(failing(429), fine, retry=every(0.2)) as (up, addon, port):
        body = (await raw(port, kind)).body
        assert 2 <= body.count(b"<beat>") <= 12
        assert words(body) == b"hello world"
        assert len(up.seen) == 2
        assert addon.hooks == ["head 429", "head 200", "response 200"]


@pytest.mark.parametrize(("slow", "least"), [({"hold": 0.8}, 1), ({"dial": 0.2}, 2)])
@bounded
async def test_heartbeats_while_something_blocks(slow: dict[str, float], least: int) -> None:
    async with relay(fine, **slow) as (_, _, port):
        body = (await raw(port, "direct")).body
        assert body.count(b"<beat>") >= least
        assert words(body) == b"hello world"


@bounded
async def test_no_heartbeat_while_bytes_flow() -> None:
    """None sooner than a beat after a byte: a machine that stalls for longer may bring one."""
    silences: list[float] = []
    last = math.inf  # nothing is said of what comes before the first byte

    class Timed(Spoken):
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
            await asyncio.sleep(BEAT / 2)
            call.chunks(b".")
        call.end()

    async with relay(handler, exchange=Timed(), stream=stream) as (_, _, port):
        assert words((await raw(port, "direct")).body) == b"." * 8
        assert [one for one in silences if 0 <= one < BEAT] == []


@pytest.mark.parametrize("how", [{"heartbeat": 0.0}, {"exchange": Whole()}])
@bounded
async def test_no_heartbeat_when_none_is_wanted(how: dict[str, Any]) -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.3)
        call.reply(200, b"{}")

    async with relay(handler, **how) as (_, _, port):
        answer = await raw(port, "direct")
        assert (answer.headers.get("content-length"), answer.body) == ("2", b"{}")


@bounded
async def test_a_reply_that_was_not_streamed_follows_heartbeats() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.3)
        call.reply(200, b"all at once")

    async with relay(handler) as (_, _, port):
        assert words((await raw(port, "direct")).body) == b"all at once"


@bounded
async def test_http_1_0_client_gets_no_chunks() -> None:
    async with relay(patient) as (_, _, port), Client.connect(port) as client:
        client.writer.write(b"POST /x HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        answer = await client.head()
        assert "transfer-encoding" not in answer.headers
        body = await asyncio.wait_for(client.reader.read(-1), 5)
        assert words(body) == b"hello world"


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@pytest.mark.parametrize("first", [failing(429, retry_after="0.1"), failing(500), failing(529)])
@bounded
async def test_error_status_is_tried_again(first: Callable[[Call], None], kind: str) -> None:
    policy = retry_policy(3, 5.0)
    async with relay(first, fine, retry=policy, heartbeat=0) as (up, addon, port):
        assert (await raw(port, kind)).body == b"hello world"
        assert [call.body for call in up.seen] == [b"{}", b"{}"]
        assert addon.hooks[1:] == ["head 200", "response 200"]
        assert addon.flows[0].error is None


async def hang_up(call: Call) -> None:
    call.cut()


async def hang_up_hard(call: Call) -> None:
    await call.reset()


def nonsense(call: Call) -> None:
    call.writer.write(b"SSH-2.0-what\r\n\r\n")


async def torn_error(call: Call) -> None:
    call.head(500, content_length="100")
    call.writer.write(b"half of it")
    call.cut()


def bad_chunk(call: Call) -> None:
    call.head(500, transfer_encoding="chunked")
    call.writer.write(b"zzz\r\n")


@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize("first", [hang_up, hang_up_hard, nonsense, torn_error, bad_chunk])
@bounded
async def test_death_before_the_reply_is_tried_again(
    first: Callable[[Call], Any], delay: float
) -> None:
    async with relay(first, fine, retry=every(delay), heartbeat=0) as (up, addon, port):
        assert (await raw(port, "direct")).body == b"hello world"
        assert up.connections == 2
        assert addon.hooks[-1] == "response 200" and "error" not in str(addon.hooks)


@bounded
async def test_a_provider_that_comes_back_is_reached() -> None:
    async with upstream(fine) as gone:
        pass
    addon = Relay(gone.port, retry=every(0.1, 20))
    async with proxy(Transport(), addon) as (_, port), Client.connect(port) as client:
        client.send("/v1/responses")
        await asyncio.sleep(0.25)
        back = Upstream((fine,))
        server = await asyncio.start_server(back.serve, "127.0.0.1", gone.port)
        try:
            await client.head()
            assert words(await client.rest()) == b"hello world"
        finally:
            server.close()


@bounded
async def test_refused_gives_up_with_an_answer_of_ours_and_the_connection_lives() -> None:
    async with upstream(fine) as gone:
        pass
    errors: list[str | None] = []

    def retry(flow: http.HTTPFlow, error: str | None, attempt: int) -> float | None:
        errors.append(error)
        return 0.05 if attempt < 3 else None

    addon = Relay(gone.port, exchange=Whole(), retry=retry)
    async with proxy(Transport(), addon) as (_, port), Client.connect(port) as client:
        start = time.monotonic()
        for _ in range(2):
            answer = await client.ask("/v1/responses")
            assert answer.status == 502
            assert answer.headers["content-type"] == "text/x-failed"
            assert b"<lost" in answer.body and b"html" not in answer.body
        assert time.monotonic() - start < 3
    assert len(errors) == 6 and all(errors)
    assert [hook.split()[0] for hook in addon.hooks] == ["error"] * 2


@bounded
async def test_quota_is_passed_on_at_once() -> None:
    body = b'{"error":{"message":"x","code":"insufficient_quota"}}'
    policy = retry_policy(5, 60.0)
    async with relay(failing(429, body), retry=policy) as (up, addon, port):
        answer = await raw(port, "direct")
        assert (answer.status, answer.body, len(up.seen)) == (429, body, 1)
        assert addon.hooks == ["head 429", "response 429"]


@bounded
async def test_error_status_after_heartbeats_becomes_an_event() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.25)
        call.reply(503, b"busy", retry_after="7")

    async with relay(handler) as (_, addon, port), Client.connect(port) as client:
        answer = await client.ask("/v1/responses")
        assert (answer.status, words(answer.body)) == (200, b"<fail 503 busy 7>")
        assert addon.hooks == ["head 503", "response 503"]
        assert words((await client.ask("/v1/responses")).body) == b"<fail 503 busy 7>"


@bounded
async def test_death_after_heartbeats_becomes_an_event() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.25)
        call.cut()

    async with relay(handler, retry=every(0.05)) as (up, _, port):
        answer = await raw(port, "direct")
        assert (answer.status, words(answer.body)) == (200, b"<cut server closed connection>")
        assert len(up.seen) == 3


async def torn(call: Call) -> None:
    call.stream(b"hello ")
    await asyncio.sleep(0.05)
    call.cut()


async def torn_hard(call: Call) -> None:
    call.stream(b"hello ")
    await asyncio.sleep(0.05)
    await call.reset()


def garbled(call: Call) -> None:
    call.stream(b"hello ")
    call.writer.write(b"zzz\r\n")


@pytest.mark.parametrize("tls", [False, True], ids=["plain upstream", "TLS upstream"])
@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@pytest.mark.parametrize("how", [torn, torn_hard, garbled])
@bounded
async def test_death_in_mid_stream_ends_cleanly(
    how: Callable[[Call], Any], kind: str, tls: bool
) -> None:
    async with relay(how, tls=tls, retry=every(0.0), heartbeat=0) as (up, addon, port):
        body = (await raw(port, kind)).body
        assert body.startswith(b"hello <cut ")
        assert len(up.seen) == 1
        assert [hook.split()[0] for hook in addon.hooks] == ["head", "error"]


@bounded
async def test_client_connection_lives_on_after_a_cut() -> None:
    async with relay(torn, fine) as (_, _, port), Client.connect(port) as client:
        assert b"<cut" in (await client.ask("/v1/responses")).body
        assert (await client.ask("/v1/responses")).body == b"hello world"


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_silence_in_mid_stream_counts_as_death(kind: str) -> None:
    left: list[float] = []

    async def handler(call: Call) -> None:
        call.stream(b"hello ")
        left.append(await call.left())

    async with relay(handler, silence=0.3, heartbeat=0) as (_, _, port):
        assert (
            await raw(port, kind)
        ).body == b"hello <cut upstream silent for 0.3 s (relay_timeout)>"
        await asyncio.sleep(0.05)
        assert 0.25 < left[0] < 2


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_silence_before_the_reply_is_tried_again(kind: str) -> None:
    async with relay(mute, fine, silence=0.2, retry=every(0.0)) as (up, addon, port):
        assert words((await raw(port, kind)).body) == b"hello world"
        assert up.connections == 2
        assert addon.hooks == ["head 200", "response 200"]


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_silence_while_connecting_is_bounded(kind: str) -> None:
    how = {"dial": 1.0, "silence": 0.2, "heartbeat": 0.0}
    async with relay(fine, **how) as (up, _, port):
        start = time.monotonic()
        answer = await raw(port, kind)
        lost = b"<lost upstream silent for 0.2 s (relay_timeout)>"
        assert (answer.status, answer.body) == (502, lost)
        assert time.monotonic() - start < 0.9
        await asyncio.sleep(1.0)  # the connection comes late, for nobody
        assert not up.seen


@bounded
async def test_silent_listener_is_left() -> None:
    """A TLS handshake that is never answered is still connecting."""
    left: list[float] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = time.monotonic()
        while await reader.read(65536):
            pass
        left.append(time.monotonic() - start)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port_up = server.sockets[0].getsockname()[1]
    addon = Relay(port_up, "https", silence=0.2, heartbeat=0)
    async with proxy(Transport(), addon) as (_, port), Client.connect(port) as client:
        assert (await client.ask("/v1/responses")).status == 502
        await asyncio.sleep(0.1)
        assert left and left[0] < 2
    server.close()


@pytest.mark.parametrize("kind", ["direct", "h2"])
@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "in mid-stream"])
@bounded
async def test_client_that_leaves_cancels_upstream(kind: str, begun: bool) -> None:
    left = asyncio.Event()

    async def handler(call: Call) -> None:
        if begun:
            call.stream(b"hello ")
        await call.left()
        left.set()

    async with relay(handler, retry=every(0.0), heartbeat=0) as (up, addon, port):
        async with leaving(port, kind) as leave:
            await asyncio.sleep(0.2)
            assert len(up.seen) == 1
            await leave()
            await asyncio.wait_for(left.wait(), SOON)
        assert len(up.seen) == 1
        assert addon.hooks[-1].startswith("error ")


@contextlib.asynccontextmanager
async def leaving(port: int, kind: str) -> AsyncIterator[Callable[[], Any]]:
    """A client that has sent a request, and the way it goes."""
    if kind == "h2":
        async with Client2.connect(port) as two:
            stream = two.send("/v1/responses")

            async def reset() -> None:
                two.reset(stream)

            yield reset
    else:
        async with Client.connect(port) as client:
            client.send("/v1/responses")

            async def close() -> None:
                client.writer.close()

            yield close


@pytest.mark.parametrize("kind", ["direct", "h2"])
@pytest.mark.parametrize("first", [failing(500), hang_up])
@bounded
async def test_client_that_leaves_between_attempts_is_forgotten(
    kind: str, first: Callable[[Call], Any]
) -> None:
    async with relay(first, fine, retry=every(0.3)) as (up, addon, port):
        async with leaving(port, kind) as leave:
            await asyncio.sleep(0.15)
            await leave()
            await asyncio.sleep(0.05)
            assert addon.hooks[-1].startswith("error "), "noticed at once"
            await asyncio.sleep(0.2)
        assert len(up.seen) == 1


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_client_that_leaves_while_connecting_is_forgotten(kind: str) -> None:
    async with relay(fine, dial=0.3, retry=every(0.0)) as (up, _, port):
        async with leaving(port, kind) as leave:
            await asyncio.sleep(0.15)
            await leave()
            await asyncio.sleep(0.4)
        assert not up.seen


@bounded
async def test_killed_between_attempts() -> None:
    async with relay(failing(500), fine, retry=every(0.2), heartbeat=0) as (up, addon, port):
        async with Client.connect(port) as client:
            client.send("/v1/responses")
            await asyncio.sleep(0.1)
            addon.flows[0].kill()
            with pytest.raises(EOFError):
                await client.head()
        assert len(up.seen) == 1


@pytest.mark.parametrize("kind", ["direct", "h2"])
@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "in mid-stream"])
@bounded
async def test_killed_while_upstream_is_mute(kind: str, begun: bool) -> None:
    left: list[float] = []

    async def handler(call: Call) -> None:
        if begun:
            call.stream(b"hello ")
        left.append(await call.left())

    async with relay(handler, retry=every(0.0)) as (up, addon, port), leaving(port, kind):
        await asyncio.sleep(0.15)
        addon.flows[0].kill()
        await asyncio.sleep(0.3)
        assert left and left[0] < 1.0
        assert addon.hooks[-1] == "error Connection killed."
    assert len(up.seen) == 1


@pytest.mark.parametrize("dial", [0.0, 1.0], ids=["connected", "connecting"])
@bounded
async def test_killed_client_hears_no_answer(dial: float) -> None:
    how = {"retry": every(0.0), "heartbeat": 0, "silence": 0.3, "dial": dial}
    async with relay(mute, **how) as (_, addon, port), Client.connect(port) as client:
        client.send("/v1/responses")
        await asyncio.sleep(0.1)
        addon.flows[0].kill()
        with pytest.raises(EOFError):
            await client.head(within=0.6)
        assert addon.flows[0].response is None
        assert line_of(addon.flows[0]) is None
        await asyncio.sleep(dial)


@dataclass
class Renewing:
    """An account whose token is renewed after a refusal, as its policy of retries decides."""

    takes: float  # s
    token: str = "old"
    task: asyncio.Task[None] | None = None

    async def renew(self) -> None:
        await asyncio.sleep(self.takes)
        self.token = "new"

    def retry(self, flow: http.HTTPFlow, error: str | None, attempt: int) -> float | None:
        if self.task or error or not flow.response or flow.response.status_code != 401:
            return None
        self.task = asyncio.create_task(self.renew())
        return 0.0

    def line(self) -> dict[str, Any]:
        return {
            "ready": lambda: self.task is None or self.task.done(),
            "secrets": lambda: {"authorization": f"Bearer {self.token}"},
        }


def knowing(token: str) -> Callable[[Call], None]:
    def handler(call: Call) -> None:
        known = call.headers["authorization"] == f"Bearer {token}"
        (fine if known else failing(401))(call)

    return handler


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_next_attempt_waits_for_what_it_needs(kind: str) -> None:
    it = Renewing(takes=0.25)
    async with relay(knowing("new"), retry=it.retry, more=it.line()) as (up, addon, port):
        body = (await raw(port, kind)).body
    assert body.count(b"<beat>") >= 2 and words(body) == b"hello world"
    tokens = [call.headers["authorization"] for call in up.seen]
    assert tokens == ["Bearer old", "Bearer new"]
    assert addon.hooks == ["head 401", "head 200", "response 200"]


@bounded
async def test_refused_again_it_is_told() -> None:
    it = Renewing(takes=0.05)
    how = {"retry": it.retry, "more": it.line(), "heartbeat": 0}
    async with relay(knowing("another"), **how) as (up, _, port):
        assert (await raw(port, "direct")).status == 401
    assert len(up.seen) == 2


@bounded
async def test_what_is_never_ready_is_waited_for_as_long_as_for_upstream() -> None:
    it = Renewing(takes=30)
    how = {"retry": it.retry, "more": it.line(), "silence": 0.4, "heartbeat": 0}
    async with relay(knowing("new"), **how) as (up, _, port):
        start = time.monotonic()
        assert (await raw(port, "direct")).status == 401
        assert 0.4 <= time.monotonic() - start < 1.5
        assert it.task
        it.task.cancel()
    assert len(up.seen) == 2


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_client_that_leaves_while_something_is_awaited_is_forgotten(kind: str) -> None:
    it = Renewing(takes=0.3)
    start = relay(knowing("new"), retry=it.retry, more=it.line())
    async with start as (up, addon, port), leaving(port, kind) as leave:
        await asyncio.sleep(0.15)
        await leave()
        await asyncio.sleep(0.05)
        assert addon.hooks[-1].startswith("error ")
        await asyncio.sleep(0.25)
    assert len(up.seen) == 1


@bounded
async def test_killed_while_something_is_awaited() -> None:
    it = Renewing(takes=30)
    how = {"retry": it.retry, "more": it.line(), "heartbeat": 0}
    async with relay(knowing("new"), **how) as (up, addon, port), Client.connect(port) as client:
        client.send("/v1/responses")
        await asyncio.sleep(0.15)
        addon.flows[0].kill()
        with pytest.raises(EOFError):
            await client.head(within=1)
        assert it.task
        it.task.cancel()
    assert len(up.seen) == 1


@bounded
async def test_one_read_is_one_call_of_the_stream() -> None:
    calls: list[bytes] = []

    def stream(data: bytes) -> Any:
        calls.append(data)
        return data or []

    def handler(call: Call) -> None:
        call.stream(*[b"%d," % n for n in range(200)])
        call.end()

    async with relay(handler, stream=stream) as (_, _, port):
        body = (await raw(port, "direct")).body
        assert body == b"".join(b"%d," % n for n in range(200))
        assert len(calls) <= 4 and calls[-1] == b""


@bounded
async def test_nothing_to_say_is_not_the_end() -> None:
    async def handler(call: Call) -> None:
        call.stream(b"secret ")
        await asyncio.sleep(0.05)
        call.chunks(b"open")
        call.end()

    hide = lambda data: b"" if b"secret" in data else data  # noqa: E731
    async with relay(handler, stream=hide) as (_, _, port):
        assert (await raw(port, "direct")).body == b"open"


@bounded
async def test_upstream_connection_is_kept() -> None:
    async with relay(fine) as (up, _, port), Client.connect(port) as client:
        for _ in range(3):
            assert (await client.ask("/v1/responses")).body == b"hello world"
            await asyncio.sleep(2 * BEAT)  # no heartbeat after the end
        assert up.connections == 1


@bounded
async def test_kept_connection_that_went_stale_is_replaced_at_once() -> None:
    async with relay(fine, hang_up, fine) as (up, _, port), Client.connect(port) as client:
        await client.ask("/v1/responses")
        assert (await client.ask("/v1/responses")).body == b"hello world"
        assert [call.connection for call in up.seen] == [1, 1, 2]


@bounded
async def test_silence_on_a_kept_connection_is_not_staleness() -> None:
    async with relay(fine, mute, silence=0.2, heartbeat=0) as (up, _, port):
        async with Client.connect(port) as client:
            await client.ask("/v1/responses")
            assert (await client.ask("/v1/responses")).status == 502
        assert len(up.seen) == 2


@bounded
async def test_stale_connection_to_a_provider_that_is_gone() -> None:
    def last(call: Call) -> None:
        assert up.listener
        up.listener.close()
        call.cut()

    async with relay(fine, last) as (up, _, port), Client.connect(port) as client:
        await client.ask("/v1/responses")
        assert (await client.ask("/v1/responses")).status == 502


@bounded
async def test_half_a_reply_leaves_no_trace() -> None:
    asked: list[object] = []

    def retry(flow: http.HTTPFlow, error: str | None, attempt: int) -> float | None:
        asked.append((flow.response, bool(error)))
        return 0.0

    whole = lambda call: call.reply(200, b"whole")  # noqa: E731
    async with relay(torn_error, whole, exchange=Whole(), retry=retry) as (_, _, port):
        assert (await raw(port, "direct")).body == b"whole"
    assert asked == [(None, True)]


@bounded
async def test_client_that_leaves_after_a_refusal_is_forgotten() -> None:
    async with upstream(fine) as gone:
        pass
    addon = Relay(gone.port, retry=every(0.2))
    async with proxy(Transport(), addon) as (_, port), leaving(port, "h2") as leave:
        await asyncio.sleep(0.1)
        await leave()
        await asyncio.sleep(0.2)
        assert len(addon.hooks) == 1 and "reset by client" in addon.hooks[0]


@bounded
async def test_stale_connection_is_no_excuse_twice() -> None:
    async with relay(fine, hang_up) as (up, _, port), Client.connect(port) as client:
        await client.ask("/v1/responses")
        assert (await client.ask("/v1/responses")).status == 502
        assert len(up.seen) == 3


BUSY = b'data: {"type":"response.created"}\n\ndata: {"error":{"code":503}}\n\n'
LOST = BUSY + b": and the connection closes\n\n"
SPEAKS = b'data: {"delta":"hello"}\n\n'


@contextlib.asynccontextmanager
async def upstream2(*answers: tuple[int, bytes]) -> AsyncIterator[tuple[int, list[int]]]:
    """The port of an HTTP/2 server with these answers, the last one repeats, and the ids of the
    streams that were asked on."""
    import h2.config
    import h2.connection
    import h2.events

    asked: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lost = False
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        conn.initiate_connection()
        writer.write(conn.data_to_send())
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                for event in conn.receive_data(data):
                    if isinstance(event, h2.events.StreamEnded):
                        asked.append(event.stream_id)
                        status, body = answers[min(len(asked), len(answers)) - 1]
                        kind = "text/event-stream" if status == 200 else "text/plain"
                        head = [(":status", str(status)), ("content-type", kind)]
                        conn.send_headers(event.stream_id, head)
                        conn.send_data(event.stream_id, body, end_stream=body != LOST)
                        lost = body == LOST
                writer.write(conn.data_to_send())
                if lost:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls("h2"))
    yield server.sockets[0].getsockname()[1], asked
    server.close()


@bounded
async def test_retry_on_http2_upstream() -> None:
    """A stream id of the client may be used once on an upstream connection."""
    async with upstream2((500, b"hello"), (200, b"hello")) as (above, asked):
        addon = Relay(above, "https", exchange=Whole(), retry=every(0.1))
        async with proxy(Transport(), addon, ssl_insecure=True) as (_, port):
            answer = await raw(port, "h2")
    assert (answer.status, answer.body, asked) == (200, b"hello", [1, 3])


@pytest.mark.parametrize("first", [BUSY, LOST], ids=["ended", "lost"])
@pytest.mark.parametrize(("upto", "status"), [(3, 200), (1, 503)])
@bounded
async def test_refusal_in_a_stream_on_http2_upstream(first: bytes, upto: int, status: int) -> None:
    """Its end comes in the same read."""
    async with upstream2((200, first), (200, SPEAKS)) as (above, asked):
        more = {"opening": opening}
        addon = Relay(above, "https", retry=every(0.1, upto), more=more, heartbeat=0)
        async with (
            proxy(Transport(), addon, ssl_insecure=True) as (_, port),
            Client2.connect(port) as client,
        ):
            answer = await client.rest(client.send("/v1/responses"))
            assert answer.status == status
            again = await client.rest(client.send("/v1/responses"))
            assert (again.status, again.body) == (200, SPEAKS)
    assert len(asked) == (3 if upto > 1 else 2)


class Bystander:
    """No line: mitmproxy as it is."""

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response
        flow.response.stream = True


@bounded
async def test_flow_without_a_line_is_plain_mitmproxy() -> None:
    seen: dict[bool, list[object]] = {}
    async with upstream(fine) as gone:
        pass
    for ours in (True, False):
        addons = [Transport()] if ours else []
        async with (
            upstream(fine, failing(500), torn, fine) as up,
            proxy(Bystander(), *addons) as (_, port),
        ):
            said = seen[ours] = []
            async with Client.connect(port) as client:
                for _ in range(2):
                    answer = await client.ask(f"http://127.0.0.1:{up.port}/")
                    said += [answer.status, answer.headers, answer.body]
                client.send(f"http://127.0.0.1:{up.port}/")
                said.append(await client.head())
                with pytest.raises(EOFError):
                    await client.rest()
            async with Client.connect(port) as client:
                answer = await client.ask(f"http://127.0.0.1:{gone.port}/")
                said += [answer.status, answer.headers, b"<html>" in answer.body]
    assert seen[True] == seen[False]


@bounded
async def test_reply_that_mitmproxy_refuses_is_answered_in_our_words() -> None:
    def smuggler(call: Call) -> None:
        call.head(200, **{"content-length": "5", "content_length ": "6"})

    async with relay(smuggler) as (_, _, port):
        answer = await raw(port, "direct")
        assert (answer.status, answer.headers["content-type"]) == (502, "text/x-failed")


@bounded
async def test_finished_flow_is_forgotten() -> None:
    def about(flow: http.HTTPFlow) -> Line:
        return Line(Spoken(), flow.request, 1.0, every(0.0), head=lambda: flow.response)

    async with relay(fine) as (_, addon, port):
        await raw(port, "direct")
        attach(addon.flows[0], about(addon.flows[0]))
        gone = weakref.ref(addon.flows.pop())
        await asyncio.sleep(0.05)
        gc.collect()
        assert gone() is None


@bounded
async def test_the_real_exchange() -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.2)
        call.stream(b'data: {"choices":[{"index":0,"delta":{"content":"hel"}}]}\n\n')
        await asyncio.sleep(0.2)
        call.cut()

    tables = (Path(__file__).parents[3] / "translate" / "providers" / "providers.toml").read_text()
    made = exchange(
        {"model": "m", "input": "hi", "stream": True},
        client="responses",
        way=Way(provider=providers(tables)["generic"], model="m", id="resp_1", now=1),
    )
    how = {"exchange": made, "stream": lambda data: made.feed(data) or []}
    async with relay(failing(429), handler, retry=every(0.1), **how) as (_, _, port):
        body = (await raw(port, "direct")).body.decode()
    events = [line.removeprefix("event: ") for line in body.split("\n") if line[:6] == "event:"]
    assert events[0] == "response.created" and events[-1] == "response.failed"
    assert events.count("response.in_progress") >= 4
    numbers = re.findall(r'"sequence_number":(\d+)', body)
    assert numbers == [str(n) for n in range(len(events))]


@bounded
async def test_reload_and_removal() -> None:
    theirs = layers.HttpStream, layers.Http1Client, layers.Http2Client
    first = Transport()
    async with upstream(patient) as up, proxy(first, Relay(up.port)) as (master, port):
        assert layers.HttpStream is not theirs[0]
        master.addons.remove(first)
        assert (layers.HttpStream, layers.Http1Client, layers.Http2Client) == theirs
        assert b"<beat>" not in (await raw(port, "direct")).body
        master.addons.add(Transport())
        assert b"<beat>" in (await raw(port, "direct")).body
    assert (layers.HttpStream, layers.Http1Client, layers.Http2Client) == theirs


def test_reloaded_module_builds_on_the_originals() -> None:
    names = [name for name in sys.modules if name.startswith("addons.")]
    before = {name: sys.modules.pop(name) for name in names}
    first = Transport()
    try:
        first.load(None)
        first.done()
        again = importlib.import_module("addons.transport.relay_stream")
        assert again.RelayStream is not RelayStream
        assert RelayStream not in again.RelayStream.__mro__
    finally:
        sys.modules.update(before)


def test_another_mitmproxy_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = layers.HttpStream
    monkeypatch.setattr(version, "VERSION", "13.0.1")
    with caplog.at_level(logging.ERROR):
        Transport().load(None)
    assert "12.2" in caplog.text and "13.0.1" in caplog.text
    assert layers.HttpStream is theirs
