"""Failures that are hidden in a 200 stream before its first word, and streams that end there."""

import asyncio
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow

from addons.flow_data import ATTEMPTS
from addons.observe.flow_pair import LEG, UPSTREAM
from tests.addons.exchange.test_addon import (
    HELLO,
    answered,
    ask,
    error_of,
    failed,
    relay,
    said,
    says,
    until,
)
from tests.addons.exchange.test_native_upstreams import DONE, completed
from tests.addons.proxy import Call, Client, Client2, Handler, bounded
from tests.addons.routing import test_model_selection as two
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
    told = {"id": "theirs", "status": "failed", "error": error}
    return events_wire({"type": "response.failed", "response": told})


def tells(*parts: bytes, pause: float = 0.0, end: Callable[[Call], Any] = Call.end) -> Handler:
    async def handler(call: Call) -> None:
        call.stream(parts[0])
        for part in parts[1:]:
            await asyncio.sleep(pause)
            call.chunks(part)
        if (waiting := end(call)) is not None:
            await waiting

    return handler


HI = tells(events_wire(CREATED, GOES_ON, completed(DONE)))
BUSY = tells(OPENING + failing(**OVERLOADED))
FAILURES: list[tuple[dict[str, str], Handler, Handler]] = [
    (NATIVE, BUSY, HI),
    (NATIVE, tells(OPENING, failing(code="slow_down"), pause=0.05), HI),
    (NATIVE, tells(OPENING + events_wire({"type": "error", "error": OVERLOADED})), HI),
    (NATIVE, tells(*[bytes([byte]) for byte in events_wire(CREATED) + failing(code="502")]), HI),
    ({}, tells(b": OPENROUTER PROCESSING\n\n", chat({"error": {"code": 503}}), pause=0.05), says()),
    ({}, tells(chat(chunk(role="assistant", content=""), {"error": {"code": 429}})), says()),
    ({}, lambda call: call.reply(200, b'{"error": {"code": 503, "message": "No."}}'), says()),
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("options", "first", "then"), FAILURES)
@bounded
async def test_failure_before_the_first_word_is_tried_again(
    options: dict[str, str], first: Handler, then: Handler, stream: bool
) -> None:
    async with relay(first, then, **options) as (above, port):
        answer = await answered(port, stream=stream)
    assert said(answer) == "Hi."
    assert b"theirs" not in answer.body
    assert len(above.seen) == 2
    assert above.seen[0].body == above.seen[1].body


@bounded
async def test_a_client_on_http2() -> None:
    start = relay(BUSY, HI, http2=True, **NATIVE)
    async with start as (_, port), Client2.connect(port) as client:
        body = json.dumps(HELLO).encode()
        assert said(await client.rest(client.send("/v1/responses", body))) == "Hi."


@bounded
async def test_upstream_that_does_not_end_what_it_refused_is_left() -> None:
    left: list[float] = []

    async def first(call: Call) -> None:
        call.stream(OPENING + failing(**OVERLOADED))
        left.append(await call.left())

    async with relay(first, HI, **NATIVE) as (above, port):
        assert said(await answered(port)) == "Hi."
        assert left and left[0] < 1
    assert above.connections == 2


@pytest.mark.parametrize("retries", ["0", "3"])
@bounded
async def test_nonsense_behind_a_failure_is_not_heard(retries: str) -> None:
    def first(call: Call) -> None:
        call.stream(OPENING + failing(**OVERLOADED))
        call.writer.write(b"zzz\r\n")

    start = relay(first, HI, relay_retries=retries, **NATIVE)
    async with start as (_, port), Client.connect(port) as client:
        answer = await ask(client)
        assert answer.status == (503 if retries == "0" else 200)
        assert said(await ask(client)) == "Hi."


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_compressed_failure_is_read(stream: bool) -> None:
    def packed(call: Call) -> None:
        body = zlib.compress(OPENING + failing(**OVERLOADED), wbits=31)
        call.stream(body[:9], body[9:], content_encoding="gzip")
        call.end()

    async with relay(packed, HI, **NATIVE) as (above, port):
        assert said(await answered(port, stream=stream)) == "Hi."
    assert len(above.seen) == 2


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_without_another_attempt_it_is_a_status(stream: bool) -> None:
    start = relay(BUSY, HI, relay_retries="0", **NATIVE)
    async with start as (_, port), Client.connect(port) as client:
        answer = await ask(client, stream=stream)
        assert answer.status == 503
        assert error_of(answer)["code"] == "server_is_overloaded"
        assert OVERLOADED["message"] in error_of(answer)["message"]
        assert answer.headers["x-relay-provider"] == "responses"
        assert said(await ask(client, stream=stream)) == "Hi."  # and the connection lives


@bounded
async def test_behind_a_heartbeat_it_is_tried_again_too() -> None:
    first = tells(OPENING, failing(**OVERLOADED), pause=0.25)
    async with relay(first, HI, relay_heartbeat="0.1", **NATIVE) as (above, port):
        answer = await answered(port)
    assert said(answer) == "Hi."
    kinds = [event["type"] for event in events_of(answer.body)]
    assert kinds.count("response.created") == 1 and kinds.count("response.in_progress") >= 2
    assert len(above.seen) == 2


@bounded
async def test_behind_a_heartbeat_it_is_an_event_in_the_end() -> None:
    first = tells(OPENING, failing(**OVERLOADED), pause=0.25)
    chosen = {"relay_heartbeat": "0.1", "relay_retries": "0", **NATIVE}
    async with relay(first, **chosen) as (above, port), Client.connect(port) as client:
        assert failed(await ask(client))["code"] == "server_is_overloaded"
        assert failed(await ask(client))["code"] == "server_is_overloaded"
    assert len(above.seen) == 2


SPENT = tells(OPENING + failing(type="usage_limit_reached", message="Spent.", resets_at=9))


@bounded
async def test_usage_limit_is_not_tried_on_the_same_way() -> None:
    async with relay(SPENT, HI, **NATIVE) as (above, port):
        answer = await answered(port)
    assert answer.status == 429
    assert "Spent." in error_of(answer)["message"]
    assert len(above.seen) == 1


def instead(*events: Any) -> Handler:
    """A provider of Chat that fails in its stream."""
    lists, fails = two.serving("big"), tells(b": wait\n\n" + chat(*events))
    return lambda call: (lists if call.line.startswith("GET") else fails)(call)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "retries"), [(OVERLOADED, "0"), ({"type": "usage_limit_reached"}, "3")]
)
def test_another_way_is_gone(
    tmp_path: Path, error: dict[str, str], retries: str, stream: bool
) -> None:
    async def run() -> None:
        first = instead({"error": error})
        async with two.relay(tmp_path, two.LIST, one=first, relay_retries=retries) as it:
            answer = await it.ask("both", body={"stream": stream})
            assert said(answer) == "Hi."
            assert answer.headers["x-relay-provider"] == "two"
            assert [asked[0] for asked in it.asked()] == ["one", "two"]

    bounded(run)()


def cut_off(call: Call) -> None:
    call.stream(OPENING)
    call.cut()


async def cut_hard(call: Call) -> None:
    call.stream(OPENING)
    await asyncio.sleep(0.02)
    await call.reset()


def no_length(call: Call) -> None:
    call.writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + OPENING)
    call.cut()


CUTS = [cut_off, cut_hard, no_length, tells(OPENING), lambda call: call.reply(200)]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", CUTS, ids=["FIN", "RST", "EOF", "end", "nothing"])
@bounded
async def test_stream_that_ends_before_its_first_word_is_tried_again(
    how: Handler, stream: bool
) -> None:
    async with relay(how, HI, **NATIVE) as (above, port):
        assert said(await answered(port, stream=stream)) == "Hi."
    assert len(above.seen) == 2


@bounded
async def test_silence_behind_the_opening_is_tried_again() -> None:
    first = tells(OPENING, end=Call.left)
    async with relay(first, HI, relay_timeout="0.3", **NATIVE) as (above, port):
        assert said(await answered(port)) == "Hi."
    assert above.connections == 2


@bounded
async def test_client_that_leaves_before_the_first_word_is_missed_at_once() -> None:
    gone = asyncio.get_running_loop().create_future()

    async def first(call: Call) -> None:
        call.stream(OPENING)
        gone.set_result(await call.left())

    async with relay(first, HI, **NATIVE) as (above, port):
        async with Client.connect(port) as client:
            client.send("/v1/responses", json.dumps(HELLO).encode())
            await asyncio.sleep(0.15)
        assert await asyncio.wait_for(gone, 5) < 1
        await asyncio.sleep(0.1)
    assert len(above.seen) == 1


@pytest.mark.parametrize("how", CUTS[:2], ids=["FIN", "RST"])
@bounded
async def test_cut_that_is_not_tried_again_is_told(how: Handler) -> None:
    start = relay(HI, how, HI, relay_retries="0", **NATIVE)
    async with start as (above, port), Client.connect(port) as client:
        assert said(await ask(client)) == "Hi."
        answer = await ask(client)  # on a kept connection, which was not stale
        assert (answer.status, error_of(answer)["code"]) == (502, "server_error")
        assert said(await ask(client)) == "Hi."
    assert len(above.seen) == 3


@bounded
async def test_after_the_first_word_nothing_is_tried_again() -> None:
    async with relay(tells(OPENING + events_wire(DELTA), failing(**OVERLOADED), pause=0.05), HI,
                     **NATIVE) as (above, port):  # fmt: skip
        answer = await answered(port)
    last = events_of(answer.body)[-1]
    assert last["response"]["error"]["code"] == "server_is_overloaded"
    assert b"Hi." in answer.body
    assert len(above.seen) == 1


@bounded
async def test_error_that_no_repetition_helps_is_told_as_it_is() -> None:
    async with relay(tells(events_wire(CREATED) + failing(code="invalid_prompt")), **NATIVE) as (
        above,
        port,
    ):
        assert failed(await answered(port))["code"] == "invalid_prompt"
    assert len(above.seen) == 1


@pytest.mark.parametrize("together", [True, False])
@bounded
async def test_the_first_word_is_told_at_once_and_the_head_with_it(together: bool) -> None:
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
        client.send("/v1/responses", json.dumps(HELLO).encode())
        head = asyncio.create_task(client.head())
        await asyncio.sleep(0.1)
        assert head.done() is together
        await head
        client.answer.body = await until(client, b"Hi.")
        seen.set()
        await client.rest()
        assert client.answer.body.index(b"codex.rate_limits") < client.answer.body.index(b".delta")


class Watch:
    """Flows that have ended, the upstream's legs beside the clients'."""

    def __init__(self) -> None:
        self.legs: list[HTTPFlow] = []
        self.clients: list[HTTPFlow] = []

    def response(self, flow: HTTPFlow) -> None:
        (self.legs if flow.metadata.get(LEG) == UPSTREAM else self.clients).append(flow)


async def watched(
    tmp_path: Path, *handlers: Handler, stream: bool = True, **options: str
) -> tuple[HTTPFlow, list[HTTPFlow]]:
    """The client's row and the legs of one exchange."""
    watch, file = Watch(), str(tmp_path / "flows")
    chosen = {"save_stream_file": file, **NATIVE, **options}
    async with relay(*handlers, and_also=[watch], **chosen) as (_, port):
        await answered(port, stream=stream)
        while not watch.legs:
            await asyncio.sleep(0.01)
    [client] = watch.clients
    return client, watch.legs


@bounded
async def test_rows_of_a_refusal_show_what_came_and_what_was_told(tmp_path: Path) -> None:
    client, [leg] = await watched(tmp_path, BUSY, relay_retries="0")
    assert client.response and leg.response
    assert client.response.status_code == 503
    assert b"server_is_overloaded" in (client.response.content or b"")
    assert client.metadata["relay.facts"]["status"] == "failed"
    assert (leg.response.status_code, leg.response.headers["content-type"]) == (
        200,
        "text/event-stream",
    )
    assert leg.response.content == OPENING + failing(**OVERLOADED)


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_rows_of_another_attempt_show_that(tmp_path: Path, stream: bool) -> None:
    client, [leg] = await watched(tmp_path, BUSY, HI, stream=stream)
    assert client.response and leg.response
    assert client.response.status_code == leg.response.status_code == 200
    assert b"server_is_overloaded" not in (client.response.content or b"")
    assert leg.response.content == events_wire(CREATED, GOES_ON, completed(DONE))
    assert client.metadata[ATTEMPTS] == ["after status 503, 0.5 s"]
    assert "after status 503" in client.comment


@bounded
async def test_rows_of_a_cut_show_what_came(tmp_path: Path) -> None:
    client, [leg] = await watched(tmp_path, cut_off, HI)
    [why] = client.metadata[ATTEMPTS]
    assert "peer closed connection" in why
    assert leg.response and leg.response.content == events_wire(CREATED, GOES_ON, completed(DONE))
