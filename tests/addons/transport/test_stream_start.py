"""Failures inside a stream of status 200 before its first word, and streams that end before it."""

import asyncio
import json
import logging
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow

from addons.flow_data import ATTEMPTS
from addons.observe.flow_pair import PAIR_SIDE, UPSTREAM_SIDE
from tests.addons.exchange.test_addon import (
    HELLO,
    ask,
    ask_once,
    completed_text,
    error_of,
    relay,
    says,
    stream_error,
    until,
)
from tests.addons.exchange.test_native_upstreams import DONE, completed
from tests.addons.proxy import Call, Client, Client2, Handler, bounded
from tests.addons.routing.two_providers import BOTH_MODELS, serve_models, two_provider_relay
from tests.translate.support import chunk, events_of, events_wire
from tests.translate.support import stream as chat

NATIVE = {"relay_provider": "responses"}
CREATED = {"type": "response.created", "response": {"id": "theirs", "status": "in_progress"}}
GOES_ON = {"type": "response.in_progress", "response": {"id": "theirs", "status": "in_progress"}}
LIMITS = {"type": "codex.rate_limits", "rate_limits": {"primary": {"used_percent": 9.0}}}
DELTA = {"type": "response.output_text.delta", "delta": "Hi."}
OPENING = events_wire(CREATED, GOES_ON, LIMITS)
OVERLOADED = {"code": "server_is_overloaded", "message": "Our servers are overloaded."}


def failing(**error: Any) -> bytes:
    response = {"id": "theirs", "status": "failed", "error": error}
    return events_wire({"type": "response.failed", "response": response})


def stream_parts(
    *parts: bytes, pause: float = 0.0, end: Callable[[Call], Any] = Call.end
) -> Handler:
    async def handler(call: Call) -> None:
        call.stream(parts[0])
        for part in parts[1:]:
            await asyncio.sleep(pause)
            call.chunks(part)
        if (waiting := end(call)) is not None:
            await waiting

    return handler


HI = stream_parts(events_wire(CREATED, GOES_ON, completed(DONE)))
BUSY = stream_parts(OPENING + failing(**OVERLOADED))
FAILURES: list[tuple[dict[str, str], Handler, Handler]] = [
    (NATIVE, BUSY, HI),
    (NATIVE, stream_parts(OPENING, failing(code="slow_down"), pause=0.05), HI),
    (NATIVE, stream_parts(OPENING + events_wire({"type": "error", "error": OVERLOADED})), HI),
    (
        NATIVE,
        stream_parts(*[bytes([byte]) for byte in events_wire(CREATED) + failing(code="502")]),
        HI,
    ),
    (
        {},
        stream_parts(b": OPENROUTER PROCESSING\n\n", chat({"error": {"code": 503}}), pause=0.05),
        says(),
    ),
    ({}, stream_parts(chat(chunk(role="assistant", content=""), {"error": {"code": 429}})), says()),
    ({}, lambda call: call.reply(200, b'{"error": {"code": 503, "message": "No."}}'), says()),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("options", "first", "then"), FAILURES)
@bounded
async def test_failure_before_the_first_word_is_tried_again(
    options: dict[str, str], first: Handler, then: Handler, stream: bool
) -> None:
    async with relay(first, then, **options) as (above, port):
        answer = await ask_once(port, stream=stream)
    assert completed_text(answer) == "Hi."
    assert b"theirs" not in answer.body
    assert len(above.seen) == 2
    assert above.seen[0].body == above.seen[1].body


@bounded
async def test_a_client_on_http2() -> None:
    start = relay(BUSY, HI, http2=True, **NATIVE)
    async with start as (_, port), Client2.connect(port) as client:
        body = json.dumps(HELLO).encode()
        assert completed_text(await client.rest(client.send("/v1/responses", body))) == "Hi."


@bounded
async def test_connection_of_a_refusal_that_does_not_end_is_closed() -> None:
    closed_after: list[float] = []

    async def first(call: Call) -> None:
        call.stream(OPENING + failing(**OVERLOADED))
        closed_after.append(await call.closed_after())

    async with relay(first, HI, **NATIVE) as (above, port):
        assert completed_text(await ask_once(port)) == "Hi."
        assert closed_after and closed_after[0] < 1
    assert above.connections == 2


@pytest.mark.parametrize("retries", ["0", "3"])
@bounded
async def test_broken_chunk_behind_a_failure_is_ignored(retries: str) -> None:
    def first(call: Call) -> None:
        call.stream(OPENING + failing(**OVERLOADED))
        call.writer.write(b"zzz\r\n")

    start = relay(first, HI, relay_retries=retries, **NATIVE)
    async with start as (_, port), Client.connect(port) as client:
        answer = await ask(client)
        assert answer.status == (503 if retries == "0" else 200)
        assert completed_text(await ask(client)) == "Hi."


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_compressed_failure_is_read(stream: bool) -> None:
    def packed(call: Call) -> None:
        body = zlib.compress(OPENING + failing(**OVERLOADED), wbits=31)
        call.stream(body[:9], body[9:], content_encoding="gzip")
        call.end()

    async with relay(packed, HI, **NATIVE) as (above, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."
    assert len(above.seen) == 2


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_failure_without_another_attempt_is_a_status(stream: bool) -> None:
    start = relay(BUSY, HI, relay_retries="0", **NATIVE)
    async with start as (_, port), Client.connect(port) as client:
        answer = await ask(client, stream=stream)
        assert answer.status == 503
        assert error_of(answer)["code"] == "server_is_overloaded"
        assert OVERLOADED["message"] in error_of(answer)["message"]
        assert answer.headers["x-relay-provider"] == "responses"
        assert completed_text(await ask(client, stream=stream)) == "Hi."  # and the connection lives


@bounded
async def test_failure_behind_a_heartbeat_is_tried_again_too() -> None:
    first = stream_parts(OPENING, failing(**OVERLOADED), pause=0.25)
    async with relay(first, HI, relay_heartbeat="0.1", **NATIVE) as (above, port):
        answer = await ask_once(port)
    assert completed_text(answer) == "Hi."
    kinds = [event["type"] for event in events_of(answer.body)]
    assert kinds.count("response.created") == 1 and kinds.count("response.in_progress") >= 2
    assert len(above.seen) == 2


@bounded
async def test_failure_behind_a_heartbeat_becomes_an_event() -> None:
    first = stream_parts(OPENING, failing(**OVERLOADED), pause=0.25)
    chosen = {"relay_heartbeat": "0.1", "relay_retries": "0", **NATIVE}
    async with relay(first, **chosen) as (above, port), Client.connect(port) as client:
        assert stream_error(await ask(client))["code"] == "server_is_overloaded"
        assert stream_error(await ask(client))["code"] == "server_is_overloaded"
    assert len(above.seen) == 2


SPENT = stream_parts(OPENING + failing(type="usage_limit_reached", message="Spent.", resets_at=9))


@bounded
async def test_usage_limit_is_not_tried_again_at_the_same_provider() -> None:
    async with relay(SPENT, HI, **NATIVE) as (above, port):
        answer = await ask_once(port)
    assert answer.status == 429
    assert "Spent." in error_of(answer)["message"]
    assert len(above.seen) == 1


def provider_that_streams(*events: Any) -> Handler:
    """A provider that lists a model, and streams these events of Chat."""
    list_models, fail = serve_models("big"), stream_parts(b": wait\n\n" + chat(*events))
    return lambda call: (list_models if call.request_line.startswith("GET") else fail)(call)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "retries"), [(OVERLOADED, "0"), ({"type": "usage_limit_reached"}, "3")]
)
def test_next_candidate_answers_after_a_refusal_in_the_stream(
    tmp_path: Path, error: dict[str, str], retries: str, stream: bool
) -> None:
    async def run() -> None:
        first = provider_that_streams({"error": error})
        async with two_provider_relay(
            tmp_path, BOTH_MODELS, first=first, relay_retries=retries
        ) as providers_relay:
            answer = await providers_relay.ask("both", body={"stream": stream})
            assert completed_text(answer) == "Hi."
            assert answer.headers["x-relay-provider"] == "two"
            assert [request[0] for request in providers_relay.requests()] == ["one", "two"]

    bounded(run)()


def cut_off(call: Call) -> None:
    call.stream(OPENING)
    call.cut()


async def cut_hard(call: Call) -> None:
    call.stream(OPENING)
    await asyncio.sleep(0.02)
    await call.reset()


def cut_without_length(call: Call) -> None:
    call.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + OPENING)
    call.cut()


CUTS = [cut_off, cut_hard, cut_without_length, stream_parts(OPENING), lambda call: call.reply(200)]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("cut", CUTS, ids=["FIN", "RST", "EOF", "end", "nothing"])
@bounded
async def test_stream_that_ends_before_its_first_word_is_tried_again(
    cut: Handler, stream: bool
) -> None:
    async with relay(cut, HI, **NATIVE) as (above, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."
    assert len(above.seen) == 2


@bounded
async def test_silence_behind_the_opening_is_tried_again() -> None:
    first = stream_parts(OPENING, end=Call.closed_after)
    async with relay(first, HI, relay_timeout="0.3", **NATIVE) as (above, port):
        assert completed_text(await ask_once(port)) == "Hi."
    assert above.connections == 2


@bounded
async def test_client_that_leaves_before_the_first_word_closes_the_upstream_connection() -> None:
    closed_after = asyncio.get_running_loop().create_future()

    async def first(call: Call) -> None:
        call.stream(OPENING)
        closed_after.set_result(await call.closed_after())

    async with relay(first, HI, **NATIVE) as (above, port):
        async with Client.connect(port) as client:
            client.send("/v1/responses", json.dumps(HELLO).encode())
            await asyncio.sleep(0.15)
        assert await asyncio.wait_for(closed_after, 5) < 1
        await asyncio.sleep(0.1)
    assert len(above.seen) == 1


@pytest.mark.parametrize("cut", CUTS[:2], ids=["FIN", "RST"])
@bounded
async def test_cut_that_is_not_tried_again_is_a_502(cut: Handler) -> None:
    start = relay(HI, cut, HI, relay_retries="0", **NATIVE)
    async with start as (above, port), Client.connect(port) as client:
        assert completed_text(await ask(client)) == "Hi."
        answer = await ask(client)  # on a kept connection, which was not stale
        assert (answer.status, error_of(answer)["code"]) == (502, "server_error")
        assert completed_text(await ask(client)) == "Hi."
    assert len(above.seen) == 3


@bounded
async def test_after_the_first_word_nothing_is_tried_again() -> None:
    first = stream_parts(OPENING + events_wire(DELTA), failing(**OVERLOADED), pause=0.05)
    async with relay(first, HI, **NATIVE) as (above, port):
        answer = await ask_once(port)
    last = events_of(answer.body)[-1]
    assert last["response"]["error"]["code"] == "server_is_overloaded"
    assert b"Hi." in answer.body
    assert len(above.seen) == 1


@bounded
async def test_error_that_a_retry_cannot_help_reaches_the_client() -> None:
    async with relay(
        stream_parts(events_wire(CREATED) + failing(code="invalid_prompt")), **NATIVE
    ) as (
        above,
        port,
    ):
        assert stream_error(await ask_once(port))["code"] == "invalid_prompt"
    assert len(above.seen) == 1


@pytest.mark.parametrize("together", [True, False])
@bounded
async def test_first_word_is_sent_at_once_together_with_the_head(together: bool) -> None:
    seen = asyncio.Event()

    async def handler(call: Call) -> None:
        if not together:
            call.stream(OPENING)
            await asyncio.sleep(0.2)
            call.chunks(events_wire(DELTA))
        else:
            call.stream(OPENING + events_wire(DELTA))
        await asyncio.wait_for(seen.wait(), 5)
        call.chunks(events_wire(completed(DONE)))
        call.end()

    async with relay(handler, **NATIVE) as (_, port), Client.connect(port) as client:
        client.send("/v1/responses", json.dumps(HELLO).encode(), originator="codex_exec")
        head = asyncio.create_task(client.head())
        await asyncio.sleep(0.1)
        assert head.done() is together
        await head
        client.answer.body = await until(client, b"Hi.")
        seen.set()
        await client.rest()
        assert client.answer.body.index(b"codex.rate_limits") < client.answer.body.index(b".delta")


class Watch:
    """Collects the flows that have ended, the upstream's and the client's."""

    def __init__(self) -> None:
        self.upstream_flows: list[HTTPFlow] = []
        self.client_flows: list[HTTPFlow] = []

    def response(self, flow: HTTPFlow) -> None:
        (
            self.upstream_flows
            if flow.metadata.get(PAIR_SIDE) == UPSTREAM_SIDE
            else self.client_flows
        ).append(flow)


async def watched(
    tmp_path: Path, *handlers: Handler, stream: bool = True, **options: str
) -> tuple[HTTPFlow, list[HTTPFlow]]:
    """The client's flow and the upstream's flows of one exchange."""
    watch, file = Watch(), str(tmp_path / "flows")
    chosen = {"save_stream_file": file, **NATIVE, **options}
    async with relay(*handlers, extra_addons=[watch], **chosen) as (_, port):
        await ask_once(port, stream=stream)
        while not watch.upstream_flows:
            await asyncio.sleep(0.01)
    [client] = watch.client_flows
    return client, watch.upstream_flows


@bounded
async def test_flows_of_a_refusal_show_both_sides(tmp_path: Path) -> None:
    client, [upstream_flow] = await watched(tmp_path, BUSY, relay_retries="0")
    assert client.response and upstream_flow.response
    assert client.response.status_code == 503
    assert b"server_is_overloaded" in (client.response.content or b"")
    assert client.metadata["relay.facts"]["status"] == "failed"
    assert (upstream_flow.response.status_code, upstream_flow.response.headers["content-type"]) == (
        200,
        "text/event-stream",
    )
    assert upstream_flow.response.content == OPENING + failing(**OVERLOADED)


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_flows_show_the_attempt_that_succeeded(tmp_path: Path, stream: bool) -> None:
    client, [upstream_flow] = await watched(tmp_path, BUSY, HI, stream=stream)
    assert client.response and upstream_flow.response
    assert client.response.status_code == upstream_flow.response.status_code == 200
    assert b"server_is_overloaded" not in (client.response.content or b"")
    assert upstream_flow.response.content == events_wire(CREATED, GOES_ON, completed(DONE))
    assert client.metadata[ATTEMPTS] == ["after status 503, 0.5 s"]
    assert "after status 503" in client.comment


@bounded
async def test_flows_after_a_cut_show_the_second_attempt(tmp_path: Path) -> None:
    client, [upstream_flow] = await watched(tmp_path, cut_off, HI)
    [attempt] = client.metadata[ATTEMPTS]
    assert "the upstream closed the connection in the middle of its reply" in attempt
    assert upstream_flow.response and upstream_flow.response.content == events_wire(
        CREATED, GOES_ON, completed(DONE)
    )


@bounded
async def test_streamed_exchange_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with relay(says("Hello")) as (_, port), Client.connect(port) as client:
        await ask(client)
        with caplog.at_level(logging.INFO):
            caplog.clear()
            assert completed_text(await ask(client)) == "Hello"
        (line,) = [record.getMessage() for record in caplog.records]
        assert " → " in line
