"""A minimal addon on `transport`, its upstreams, and clients that reach it in every way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mitmproxy.http import Headers, HTTPFlow, Request

from addons.flow_data import is_own_port
from addons.transport.addon import Transport
from addons.transport.plan import RelayPlan, attach_plan
from addons.transport.retry_policy import RetryPolicy
from tests.addons.proxy import (
    Answer,
    Call,
    Client,
    Client2,
    Upstream,
    client_tls,
    proxy,
    server_tls,
    upstream,
)
from translate import StreamStart, WholeReply

HEARTBEAT = 0.06  # s
CLOSE_LIMIT = 0.5  # s within which the upstream must see that the client left


class SpokenExchange:
    """An exchange whose events are easy to find in the client's bytes."""

    is_finished = False

    def heartbeat(self) -> bytes:
        return b"<beat>"

    def error_reply(
        self, status: int, body: bytes, retry_after: str | None, location: str | None = None
    ) -> WholeReply:
        text = b"<fail %d %s %s>" % (status, body, str(retry_after).encode())
        return WholeReply(status, {"content-type": "text/x-failed"}, text, text)

    def unreachable_reply(self, reason: str) -> WholeReply:
        return WholeReply(502, {"content-type": "text/x-failed"}, f"<lost {reason}>".encode(), b"")

    def interrupt(self, reason: str) -> bytes:
        return f"<cut {reason}>".encode()


class WholeExchange(SpokenExchange):
    """A `SpokenExchange` for a client that did not ask for a stream."""

    def heartbeat(self) -> bytes:
        return b""


@dataclass
class CallbackPlan(RelayPlan):
    """A plan whose decisions are functions, which each test can replace."""

    flow: HTTPFlow
    exchange: Any
    upstream_request: Request
    silence_limit: float
    heartbeat_interval: float
    retry: RetryPolicy
    ready: Callable[[], bool] = lambda: True
    secrets: Callable[[], Mapping[str, str]] = dict
    probe: Callable[[], Callable[[bytes], StreamStart]] = lambda: lambda data: "begun"
    fallback: Callable[[HTTPFlow], Awaitable[None]] | None = None
    reply_limit: int = 64 << 20

    def credentials(self) -> Mapping[str, str]:
        return self.secrets()

    def start_probe(self) -> Callable[[bytes], StreamStart]:
        return self.probe()

    def retry_delay(self, error: str | None, attempt: int) -> float | None:
        return self.retry(self.flow, error, attempt)

    def is_ready(self) -> bool:
        return self.ready()

    async def try_fallback(self) -> None:
        if self.fallback:
            await self.fallback(self.flow)

    def stream_headers(self) -> Headers:
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        if self.flow.request.is_http10:
            del headers["transfer-encoding"]
        return Headers([(name.encode(), value.encode()) for name, value in headers.items()])

    def relay_headers(self) -> Mapping[str, str]:
        return {"x-relay-provider": "test"}

    def on_client_bytes(self, data: bytes) -> None:
        pass

    def on_upstream_bytes(self, data: bytes) -> None:
        pass


@dataclass
class RelayAddon:
    """Relays every request to one port."""

    port: int
    scheme: str = "http"
    exchange: Any = field(default_factory=SpokenExchange)
    heartbeat: float = HEARTBEAT
    silence: float = 10.0
    retry: RetryPolicy = lambda *_: None
    hold: float = 0.0  # s that the request hook takes
    dial: float = 0.0  # s that connecting takes
    stream: Callable[[bytes], Any] = lambda data: data or []
    callbacks: dict[str, Any] = field(default_factory=dict)  # of the plan
    hooks: list[str] = field(default_factory=list)
    flows: list[HTTPFlow] = field(default_factory=list)

    async def request(self, flow: HTTPFlow) -> None:
        flow.metadata["own"] = is_own_port(flow)
        self.flows.append(flow)
        attach_plan(flow, self.plan_for(flow))
        await asyncio.sleep(self.hold)

    def plan_for(self, flow: HTTPFlow) -> CallbackPlan:
        request = flow.request.copy()
        request.scheme, request.host, request.port = self.scheme, "127.0.0.1", self.port
        return CallbackPlan(
            flow=flow,
            exchange=self.exchange,
            upstream_request=request,
            silence_limit=self.silence,
            heartbeat_interval=self.heartbeat,
            retry=self.retry,
            **self.callbacks,
        )

    async def server_connect(self, _: object) -> None:
        await asyncio.sleep(self.dial)

    def responseheaders(self, flow: HTTPFlow) -> None:
        assert flow.response
        self.hooks.append(f"head {flow.response.status_code}")
        if flow.response.headers.get("content-type") == "text/event-stream":
            flow.response.stream = self.stream

    def response(self, flow: HTTPFlow) -> None:
        assert flow.response
        self.hooks.append(f"response {flow.response.status_code}")

    def error(self, flow: HTTPFlow) -> None:
        assert flow.error
        self.hooks.append(f"error {flow.error.msg}")


@contextlib.asynccontextmanager
async def relay(
    *handlers: Callable[[Call], Any], tls: bool = False, **options: Any
) -> AsyncIterator[tuple[Upstream, RelayAddon, int]]:
    async with upstream(*handlers, tls=server_tls("http/1.1") if tls else None) as server:
        addon = RelayAddon(server.port, "https" if tls else "http", **options)
        async with proxy(Transport(), addon, ssl_insecure=True) as (_, port):
            yield server, addon, port


def retry_every(delay: float, max_attempts: int = 3) -> RetryPolicy:
    return lambda flow, error, attempt: delay if attempt < max_attempts else None


def reply_hello(call: Call) -> None:
    call.stream(b"hello ", b"world")
    call.end()


def reply_status(status: int, body: bytes = b"no", **headers: str) -> Callable[[Call], None]:
    return lambda call: call.reply(status, body, **headers)


async def reply_late(call: Call) -> None:
    await asyncio.sleep(0.2)
    reply_hello(call)


async def never_reply(call: Call) -> None:
    await call.closed_after()


def without_heartbeats(body: bytes) -> bytes:
    """The body without the heartbeats of `SpokenExchange`."""
    return body.replace(b"<beat>", b"")


async def request_by(port: int, kind: str) -> Answer:
    """The answer to a request by a client of this kind, one of `CLIENT_KINDS`."""
    if kind == "h2":
        async with Client2.connect(port) as http2_client:
            return await http2_client.rest(http2_client.send("/v1/responses"))
    tunnel = "api.openai.com" if kind == "tunnel" else ""
    tls = client_tls() if kind == "tls" else None
    async with Client.connect(port, tunnel=tunnel, tls=tls) as client:
        target = "http://far.test/v1/responses" if kind == "proxied" else "/v1/responses"
        return await client.ask(target)


async def hang_up(call: Call) -> None:
    call.cut()


async def cut_mid_error(call: Call) -> None:
    call.head(500, content_length="100")
    call.writer.write(b"half of it")
    call.cut()


async def cut_mid_stream(call: Call) -> None:
    call.stream(b"hello ")
    await asyncio.sleep(0.05)
    call.cut()


@contextlib.asynccontextmanager
async def leaving_client(port: int, kind: str) -> AsyncIterator[Callable[[], Any]]:
    """A client that has sent a request; the function makes it leave."""
    if kind == "h2":
        async with Client2.connect(port) as http2_client:
            stream = http2_client.send("/v1/responses")

            async def reset() -> None:
                http2_client.reset(stream)

            yield reset
    else:
        async with Client.connect(port) as client:
            client.send("/v1/responses")

            async def close() -> None:
                client.writer.close()

            yield close
