"""Failures of the relay's own: whatever breaks, the client's wait ends, and the log tells why."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from mitmproxy.http import Headers, HTTPFlow, Response

from addons.flow_data import hidden_values
from addons.transport.addon import Transport
from addons.transport.failure_guard import RELAY_FAILURE
from tests.addons.proxy import Call, Client, Client2, bounded, proxy
from tests.addons.transport.relay_harness import (
    RelayAddon,
    SpokenExchange,
    never_reply,
    relay,
    reply_hello,
    request_by,
    without_heartbeats,
)
from tests.addons.transport.test_connections import http2_server

LOG_LINE = "mitmcodex failed at a reply"
BROKEN_HEADERS = Headers([(b"content-type", b"text/event-stream")])
BROKEN_HEADERS.fields = ((b"content-type", None),)  # type: ignore[assignment]  # what is broken


def fail(*_: Any) -> Any:
    raise RuntimeError("a fault of the relay's own")


class MuteExchange(SpokenExchange):
    """An exchange that cannot even say that it has failed."""

    interrupt = unreachable_reply = error_reply = fail


class HeartlessExchange(SpokenExchange):
    heartbeat = fail


class MuteHeartlessExchange(MuteExchange):
    heartbeat = fail


@contextlib.contextmanager
def logged_failures(count: int = 1) -> Iterator[None]:
    """The log has so many errors, each with its traceback; the tests' proxy ends with them."""
    with pytest.raises(AssertionError, match=f"^{LOG_LINE}") as raised:
        yield
    log = str(raised.value)
    assert log.count(LOG_LINE) == log.count("Traceback (most recent call last)") == count
    assert "crashed" not in log


async def stream_then_wait(call: Call) -> None:
    call.stream(b"hello ")
    await call.closed_after()


async def cut_answer(port: int) -> bytes:
    """What an HTTP/1 client gets until its connection is closed."""
    async with Client.connect(port) as client:
        client.send("/v1/responses")
        return await asyncio.wait_for(client.reader.read(), 5)


async def wait_for_hook(addon: RelayAddon, name: str) -> None:
    while not any(hook.startswith(name) for hook in addon.hooks):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_a_failure_in_mid_reply_ends_it_in_the_clients_dialect(kind: str) -> None:
    with logged_failures():
        async with relay(stream_then_wait, stream=fail) as (server, addon, port):
            answer = await request_by(port, kind)
            assert without_heartbeats(answer.body) == b"<cut %s>" % RELAY_FAILURE.encode()
            assert addon.hooks[-1] == f"error {RELAY_FAILURE}"


@pytest.mark.parametrize("member", ["credentials", "start_probe", "stream_headers"])
@bounded
async def test_a_failure_before_the_reply_is_a_502(member: str) -> None:
    async def handler(call: Call) -> None:
        await asyncio.sleep(0.2)
        reply_hello(call)

    heartbeat = 0.06 if member == "stream_headers" else 0.0
    with logged_failures():
        async with relay(handler, heartbeat=heartbeat) as (_, addon, port):
            addon.plan_for = broken_plans(addon, member)  # type: ignore[method-assign]
            answer = await request_by(port, "direct")
            assert (answer.status, answer.body) == (502, b"<lost %s>" % RELAY_FAILURE.encode())
            assert addon.hooks == [f"error {RELAY_FAILURE}"]


def broken_plans(addon: RelayAddon, member: str) -> Callable[[HTTPFlow], Any]:
    build_plan = addon.plan_for

    def plan_for(flow: HTTPFlow) -> Any:
        plan = build_plan(flow)
        setattr(plan, member, fail)
        return plan

    return plan_for


@bounded
async def test_a_failing_timer_ends_the_reply() -> None:
    with logged_failures():
        async with relay(stream_then_wait, exchange=HeartlessExchange()) as (server, addon, port):
            answer = await request_by(port, "direct")
            assert answer.body == b"hello <cut %s>" % RELAY_FAILURE.encode()
            assert await server.seen[0].closed_after() < 1


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_a_client_without_a_reply_gets_a_500_if_its_ending_fails(kind: str) -> None:
    with logged_failures(2):
        async with relay(never_reply, exchange=MuteHeartlessExchange()) as (server, addon, port):
            answer = await request_by(port, kind)
            assert answer.status == 500 and RELAY_FAILURE.encode() in answer.body
            await wait_for_hook(addon, f"error {RELAY_FAILURE}")
            assert await server.seen[0].closed_after() < 1
            assert addon.hooks == [f"error {RELAY_FAILURE}"]


@bounded
async def test_a_connection_is_closed_if_the_end_of_its_reply_fails() -> None:
    options = {"exchange": MuteExchange(), "stream": fail, "heartbeat": 0.0}
    with logged_failures(2):
        async with relay(stream_then_wait, **options) as (server, addon, port):
            assert b" 200 " in await cut_answer(port)
            await wait_for_hook(addon, f"error {RELAY_FAILURE}")
            assert await server.seen[0].closed_after() < 1


class HiddenFailure:
    """Answers requests itself, and hides a header in a way that fails as the reply leaves."""

    def request(self, flow: HTTPFlow) -> None:
        flow.response = Response.make(200, b"fine", {"x-secret": "(hidden)"})
        if flow.request.path == "/broken":
            hidden_values(flow).response_headers["x-secret"] = None  # type: ignore[assignment]


@bounded
async def test_a_failure_at_a_reply_without_a_plan_is_a_500() -> None:
    with logged_failures():
        async with (
            proxy(Transport(), HiddenFailure()) as (_, port),
            Client.connect(port) as client,
        ):
            assert (await client.ask("/fine")).body == b"fine"
            answer = await client.ask("/broken")
            assert answer.status == 500 and RELAY_FAILURE.encode() in answer.body
            assert answer.headers["connection"] == "close"
            assert await asyncio.wait_for(client.reader.read(), 5) == b""


@bounded
async def test_a_failing_stream_of_http2_leaves_the_others_alone() -> None:
    with logged_failures():
        async with (
            proxy(Transport(), HiddenFailure()) as (_, port),
            Client2.connect(port) as client,
        ):
            streams = [client.send(path) for path in ("/fine", "/broken", "/fine")]
            answers = [await client.rest(stream) for stream in streams]
            assert [answer.status for answer in answers] == [200, 500, 200]


@contextlib.asynccontextmanager
async def broken_messages(kind: str) -> AsyncIterator[tuple[RelayAddon, int, Any]]:
    """A relay whose replies or requests cannot be put into bytes."""
    async with relay(stream_then_wait, heartbeat=0.0) as (server, addon, port):
        build_plan = addon.plan_for

        def plan_for(flow: HTTPFlow) -> Any:
            plan = build_plan(flow)
            if kind == "request":
                plan.upstream_request.data.method = None
            return plan

        def responseheaders(flow: HTTPFlow) -> None:
            assert flow.response
            flow.response.stream = True
            if kind == "reply":
                flow.response.headers = BROKEN_HEADERS

        addon.plan_for = plan_for  # type: ignore[method-assign]
        addon.responseheaders = responseheaders  # type: ignore[method-assign]
        yield addon, port, server


@bounded
async def test_a_reply_that_cannot_be_sent_closes_the_clients_connection() -> None:
    with logged_failures():
        async with broken_messages("reply") as (addon, port, server):
            assert await cut_answer(port) == b""
            await wait_for_hook(addon, f"error {RELAY_FAILURE}")
            assert await server.seen[0].closed_after() < 1


@bounded
async def test_a_request_that_cannot_be_sent_is_a_502() -> None:
    with logged_failures():
        async with broken_messages("request") as (addon, port, _):
            answer = await request_by(port, "direct")
            assert (answer.status, answer.body) == (502, b"<lost %s>" % RELAY_FAILURE.encode())


@bounded
async def test_a_failing_http2_connection_to_the_upstream_fails_its_streams() -> None:
    has_arrived = asyncio.Event()
    async with http2_server(lambda conn, stream_id: has_arrived.set()) as server_port:
        addon = RelayAddon(server_port, "https", heartbeat=0.0)
        build_plan = addon.plan_for

        def plan_for(flow: HTTPFlow) -> Any:
            plan = build_plan(flow)
            if flow.request.path == "/broken":
                plan.upstream_request.data.method = None  # type: ignore[assignment]
            return plan

        addon.plan_for = plan_for  # type: ignore[method-assign]
        with logged_failures(2):  # the request is sent again, as after a connection that went stale
            async with (
                proxy(Transport(), addon, ssl_insecure=True) as (_, port),
                Client2.connect(port) as client,
            ):
                waiting = client.send("/waiting")
                await has_arrived.wait()
                answers = [await client.rest(each) for each in (client.send("/broken"), waiting)]
                assert [answer.status for answer in answers] == [502, 502]
                assert all(RELAY_FAILURE.encode() in answer.body for answer in answers)
