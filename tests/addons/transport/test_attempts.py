"""Further attempts at the same request, as long as the client has seen nothing."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.net.server_spec import ServerSpec

from addons.transport.addon import Transport
from addons.transport.attempts import connection_url
from addons.transport.plan import attach_plan
from addons.transport.retry_policy import build_retry_policy
from tests.addons.proxy import (
    Call,
    Client,
    Upstream,
    bounded,
    proxy,
    upstream,
)
from tests.addons.transport.relay_harness import (
    RelayAddon,
    WholeExchange,
    cut_mid_error,
    hang_up,
    leaving_client,
    never_reply,
    relay,
    reply_hello,
    reply_status,
    request_by,
    retry_every,
    without_heartbeats,
)

HTTP_PROXY, TLS_PROXY = ("http", ("box", 3128)), ("https", ("::1", 3128))
REFUSED, UNTRUSTED = "[Errno 111] Connect call failed", "Certificate verify failed: expired"


@pytest.mark.parametrize(
    ("via", "error", "url"),
    [
        (None, REFUSED, "https://far/v1"),
        (HTTP_PROXY, REFUSED, "http://box:3128"),
        (HTTP_PROXY, UNTRUSTED, "https://far/v1"),
        (TLS_PROXY, UNTRUSTED, "https://[::1]:3128"),
    ],
)
def test_failed_connection_is_that_to_the_proxy_of_upstream_mode(
    via: ServerSpec | None, error: str, url: str
) -> None:
    assert connection_url(http.Request.make("GET", "https://far/v1"), via, error) == url


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@pytest.mark.parametrize(
    "first", [reply_status(429, retry_after="0.1"), reply_status(500), reply_status(529)]
)
@bounded
async def test_error_status_is_tried_again(first: Callable[[Call], None], kind: str) -> None:
    policy = build_retry_policy(3, 5.0)
    async with relay(first, reply_hello, retry=policy, heartbeat=0) as (server, addon, port):
        assert (await request_by(port, kind)).body == b"hello world"
        assert [call.body for call in server.seen] == [b"{}", b"{}"]
        assert addon.hooks[1:] == ["head 200", "response 200"]
        assert addon.flows[0].error is None


async def reset_connection(call: Call) -> None:
    await call.reset()


def reply_no_http(call: Call) -> None:
    call.writer.write(b"SSH-2.0-what\r\n\r\n")


def reply_bad_chunk(call: Call) -> None:
    call.head(500, transfer_encoding="chunked")
    call.writer.write(b"zzz\r\n")


@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize(
    "first", [hang_up, reset_connection, reply_no_http, cut_mid_error, reply_bad_chunk]
)
@bounded
async def test_lost_connection_before_the_reply_is_tried_again(
    first: Callable[[Call], Any], delay: float
) -> None:
    async with relay(first, reply_hello, retry=retry_every(delay), heartbeat=0) as (
        server,
        addon,
        port,
    ):
        assert (await request_by(port, "direct")).body == b"hello world"
        assert server.connections == 2
        assert addon.hooks[-1] == "response 200" and "error" not in str(addon.hooks)


@bounded
async def test_provider_that_comes_back_is_reached() -> None:
    async with upstream(reply_hello) as stopped:
        pass
    addon = RelayAddon(stopped.port, retry=retry_every(0.1, 20))
    async with proxy(Transport(), addon) as (_, port), Client.connect(port) as client:
        client.send("/v1/responses")
        await asyncio.sleep(0.25)
        restarted = Upstream((reply_hello,))
        server = await asyncio.start_server(restarted.serve, "127.0.0.1", stopped.port)
        try:
            await client.head()
            assert without_heartbeats(await client.rest()) == b"hello world"
        finally:
            server.close()


@bounded
async def test_refused_connection_is_answered_and_the_client_stays_connected() -> None:
    async with upstream(reply_hello) as stopped:
        pass
    errors: list[str | None] = []

    def retry_twice(flow: http.HTTPFlow, error: str | None, attempt: int) -> float | None:
        errors.append(error)
        return 0.05 if attempt < 3 else None

    addon = RelayAddon(stopped.port, exchange=WholeExchange(), retry=retry_twice)
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
async def test_empty_quota_is_answered_at_once() -> None:
    body = b'{"error":{"message":"x","code":"insufficient_quota"}}'
    policy = build_retry_policy(5, 60.0)
    async with relay(reply_status(429, body), retry=policy) as (server, addon, port):
        answer = await request_by(port, "direct")
        assert (answer.status, answer.body, len(server.seen)) == (429, body, 1)
        assert addon.hooks == ["head 429", "response 429"]


@pytest.mark.parametrize("kind", ["direct", "h2"])
@pytest.mark.parametrize("first", [reply_status(500), hang_up])
@bounded
async def test_client_that_leaves_between_attempts_is_forgotten(
    kind: str, first: Callable[[Call], Any]
) -> None:
    async with relay(first, reply_hello, retry=retry_every(0.3)) as (server, addon, port):
        async with leaving_client(port, kind) as leave:
            while not server.seen:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            await leave()
            await asyncio.sleep(0.05)
            assert addon.hooks[-1].startswith("error "), "noticed at once"
            await asyncio.sleep(0.25)
        assert len(server.seen) == 1


@bounded
async def test_killed_flow_is_not_tried_again() -> None:
    async with relay(reply_status(500), reply_hello, retry=retry_every(0.2), heartbeat=0) as (
        server,
        addon,
        port,
    ):
        async with Client.connect(port) as client:
            client.send("/v1/responses")
            await asyncio.sleep(0.1)
            addon.flows[0].kill()
            with pytest.raises(EOFError):
                await client.head()
        assert len(server.seen) == 1


@dataclass
class RefreshingAccount:
    """An account whose token is refreshed after a refusal."""

    delay: float  # s that a refresh takes
    token: str = "old"
    task: asyncio.Task[None] | None = None

    async def refresh_token(self) -> None:
        await asyncio.sleep(self.delay)
        self.token = "new"

    def retry(self, flow: http.HTTPFlow, error: str | None, attempt: int) -> float | None:
        if self.task or error or not flow.response or flow.response.status_code != 401:
            return None
        self.task = asyncio.create_task(self.refresh_token())
        return 0.0

    def callbacks(self) -> dict[str, Any]:
        return {
            "ready": lambda: self.task is None or self.task.done(),
            "secrets": lambda: {"authorization": f"Bearer {self.token}"},
        }


def accepts_token(token: str) -> Callable[[Call], None]:
    def handler(call: Call) -> None:
        accepted = call.headers["authorization"] == f"Bearer {token}"
        (reply_hello if accepted else reply_status(401))(call)

    return handler


@pytest.mark.parametrize("kind", ["direct", "tunnel", "h2"])
@bounded
async def test_next_attempt_waits_until_the_plan_is_ready(kind: str) -> None:
    account = RefreshingAccount(delay=0.25)
    async with relay(accepts_token("new"), retry=account.retry, callbacks=account.callbacks()) as (
        server,
        addon,
        port,
    ):
        body = (await request_by(port, kind)).body
    assert body.count(b"<beat>") >= 2 and without_heartbeats(body) == b"hello world"
    tokens = [call.headers["authorization"] for call in server.seen]
    assert tokens == ["Bearer old", "Bearer new"]
    assert addon.hooks == ["head 401", "head 200", "response 200"]


@bounded
async def test_second_refusal_reaches_the_client() -> None:
    account = RefreshingAccount(delay=0.05)
    options = {"retry": account.retry, "callbacks": account.callbacks(), "heartbeat": 0}
    async with relay(accepts_token("another"), **options) as (server, _, port):
        assert (await request_by(port, "direct")).status == 401
    assert len(server.seen) == 2


@bounded
async def test_wait_for_a_plan_that_is_never_ready_is_bounded() -> None:
    account = RefreshingAccount(delay=30)
    options = {
        "retry": account.retry,
        "callbacks": account.callbacks(),
        "silence": 0.4,
        "heartbeat": 0,
    }
    async with relay(accepts_token("new"), **options) as (server, _, port):
        start = time.monotonic()
        assert (await request_by(port, "direct")).status == 401
        assert 0.4 <= time.monotonic() - start < 1.5
        assert account.task
        account.task.cancel()
    assert len(server.seen) == 2


@pytest.mark.parametrize("kind", ["direct", "h2"])
@bounded
async def test_client_that_leaves_while_the_plan_is_not_ready_is_forgotten(kind: str) -> None:
    account = RefreshingAccount(delay=0.3)
    start = relay(accepts_token("new"), retry=account.retry, callbacks=account.callbacks())
    async with start as (server, addon, port), leaving_client(port, kind) as leave:
        await asyncio.sleep(0.15)
        await leave()
        await asyncio.sleep(0.05)
        assert addon.hooks[-1].startswith("error ")
        await asyncio.sleep(0.25)
    assert len(server.seen) == 1


@bounded
async def test_killed_flow_whose_plan_is_not_ready_is_not_tried_again() -> None:
    account = RefreshingAccount(delay=30)
    options = {"retry": account.retry, "callbacks": account.callbacks(), "heartbeat": 0}
    async with (
        relay(accepts_token("new"), **options) as (server, addon, port),
        Client.connect(port) as client,
    ):
        client.send("/v1/responses")
        await asyncio.sleep(0.15)
        addon.flows[0].kill()
        with pytest.raises(EOFError):
            await client.head(within=1)
        assert account.task
        account.task.cancel()
    assert len(server.seen) == 1


@bounded
async def test_stale_connection_is_replaced_at_once() -> None:
    async with (
        relay(reply_hello, hang_up, reply_hello) as (server, _, port),
        Client.connect(port) as client,
    ):
        await client.ask("/v1/responses")
        assert (await client.ask("/v1/responses")).body == b"hello world"
        assert [call.connection for call in server.seen] == [1, 1, 2]


@bounded
async def test_silence_on_a_reused_connection_is_not_staleness() -> None:
    async with relay(reply_hello, never_reply, silence=0.2, heartbeat=0) as (server, _, port):
        async with Client.connect(port) as client:
            await client.ask("/v1/responses")
            assert (await client.ask("/v1/responses")).status == 502
        assert len(server.seen) == 2


@bounded
async def test_stale_connection_to_a_stopped_provider_is_answered() -> None:
    def stop(call: Call) -> None:
        assert server.listener
        server.listener.close()
        call.cut()

    async with relay(reply_hello, stop) as (server, _, port), Client.connect(port) as client:
        await client.ask("/v1/responses")
        assert (await client.ask("/v1/responses")).status == 502


@bounded
async def test_half_a_reply_is_removed_before_the_next_attempt() -> None:
    failures: list[object] = []

    def retry_at_once(flow: http.HTTPFlow, error: str | None, attempt: int) -> float | None:
        failures.append((flow.response, bool(error)))
        return 0.0

    def reply_whole(call: Call) -> None:
        call.reply(200, b"whole")

    handlers = cut_mid_error, reply_whole
    start = relay(*handlers, exchange=WholeExchange(), retry=retry_at_once)
    async with start as (_, _, port):
        assert (await request_by(port, "direct")).body == b"whole"
    assert failures == [(None, True)]


@bounded
async def test_client_that_leaves_after_a_refused_connection_is_forgotten() -> None:
    async with upstream(reply_hello) as stopped:
        pass
    addon = RelayAddon(stopped.port, retry=retry_every(0.2))
    async with proxy(Transport(), addon) as (_, port), leaving_client(port, "h2") as leave:
        await asyncio.sleep(0.1)
        await leave()
        await asyncio.sleep(0.2)
        assert len(addon.hooks) == 1 and "reset by client" in addon.hooks[0]


@bounded
async def test_second_stale_connection_is_a_failure() -> None:
    async with relay(reply_hello, hang_up) as (server, _, port), Client.connect(port) as client:
        await client.ask("/v1/responses")
        assert (await client.ask("/v1/responses")).status == 502
        assert len(server.seen) == 3


LONG_HEARTBEAT = 0.5  # s; nothing else in these tests takes as long


class SlowFallback:
    """A plan's fallback to the same upstream, found when a heartbeat would have been due."""

    addon: RelayAddon
    ticks = 0  # of the event loop while the stream waits

    async def __call__(self, flow: http.HTTPFlow) -> None:
        for _ in range(30):
            await asyncio.sleep(LONG_HEARTBEAT / 20)
            self.ticks += 1
        plan = self.addon.plan_for(flow)
        plan.fallback = None
        attach_plan(flow, plan)


@bounded
async def test_stream_waits_for_a_fallback_without_a_heartbeat() -> None:
    fallback, handlers = SlowFallback(), (reply_status(503), reply_hello)
    options: Any = {"callbacks": {"fallback": fallback}, "heartbeat": LONG_HEARTBEAT}
    async with relay(*handlers, **options) as (server, addon, port):
        fallback.addon = addon
        answer = await request_by(port, "direct")
    assert (answer.status, answer.body) == (200, b"hello world")
    assert fallback.ticks == 30 and len(server.seen) == 2


@bounded
async def test_client_that_leaves_while_a_fallback_is_sought_ends_the_flow() -> None:
    fallback, handlers = SlowFallback(), (hang_up, reply_hello)
    async with relay(*handlers, callbacks={"fallback": fallback}) as (server, addon, port):
        fallback.addon = addon
        async with leaving_client(port, "h2") as leave:
            while not fallback.ticks:
                await asyncio.sleep(0.01)
            await leave()
            while not addon.hooks:
                await asyncio.sleep(0.01)
    assert len(addon.hooks) == 1 and "reset by client" in addon.hooks[0]
    assert len(server.seen) == 1


@bounded
async def test_without_a_fallback_the_client_gets_the_failure() -> None:
    async def find_none(flow: http.HTTPFlow) -> None:
        await asyncio.sleep(0.02)

    async with relay(reply_status(503), callbacks={"fallback": find_none}) as (_, _, port):
        answer = await request_by(port, "direct")
    assert (answer.status, answer.body) == (503, b"no")
