"""Streams without an end, errors without a cause, contexts that overflow; named for the reports.

| report | why there is no test here |
|---|---|
| codex-lb#1246 (`usage_limit_reached` of an exhausted pool of accounts) | the other direction: \
there is no pool before a Chat provider. Its empty account is in the table below. |
"""

import asyncio
import json
import logging
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow

from addons.exchange import fallback
from tests.addons.chain import exchange_addons
from tests.addons.endpoints.calls import answer_with_list, get_path
from tests.addons.exchange.test_addon import (
    COMPLETION,
    ask_once,
    completed_text,
    refuses,
    relay,
    says,
    stream_error,
)
from tests.addons.exchange.test_addon import reply as whole_reply
from tests.addons.proxy import Call, Client, Handler, bounded, proxy, upstream
from tests.translate.support import (
    END_EVENTS,
    Json,
    chunk,
    events_of,
    lawful_events,
    reply_events,
    responses_exchange,
    stream,
)


@pytest.mark.parametrize("end", ["", "cut", "[DONE]", "error"])
@pytest.mark.parametrize("begun", [[], [chunk(content="So far")]], ids=["nothing", "some"])
def test_cliproxyapi_2358_one_terminal_event(begun: list[Json], end: str) -> None:
    """`stream closed before response.completed` (#2410, codex#41340, CodexPlusPlus#888)."""
    by = responses_exchange()
    wire = by.feed(stream(*begun, done=False))
    if end == "error":
        wire += by.feed(stream({"error": {"message": "no"}}, done=False))
    wire += (
        by.interrupt("reset")
        if end == "cut"
        else by.feed(stream(done=True) if end[:1] == "[" else b"")
    )
    wire += by.feed(b"") + by.interrupt("again")
    kinds = [event["type"] for event in lawful_events(wire)]
    assert [kind for kind in kinds if kind in END_EVENTS] == kinds[-1:]
    whole = end == "[DONE]" and begun
    assert kinds[-1] == ("response.completed" if whole else "response.failed")


@bounded
async def test_cliproxyapi_1979_silent_upstream() -> None:
    """Codex gives up while the provider thinks, as no event arrives."""

    async def slow(call: Call) -> None:
        await asyncio.sleep(0.4)
        says()(call)

    async with relay(slow, relay_heartbeat="0.1") as (_, port):
        answer = await ask_once(port)
    assert completed_text(answer) == "Hi."
    kinds = [event["type"] for event in events_of(answer.body)]
    assert kinds.count("response.in_progress") >= 2


@bounded
async def test_codex_lb_181_limit_is_named() -> None:
    """`Proxy request budget exhausted` does not say which limit it is."""

    async def mute(call: Call) -> None:
        call.stream(stream(chunk(content="So far"), done=False))
        await call.closed_after()

    async with relay(mute, relay_timeout="1", relay_retries="0") as (up, port):
        assert stream_error(await ask_once(port))["message"] == (
            f"The upstream 127.0.0.1:{up.port} was lost: upstream silent for 1 s (relay_timeout)"
        )


def mislabelled(body: bytes, label: str) -> Handler:
    def handler(call: Call) -> None:
        call.head(content_type=label, transfer_encoding="chunked")
        call.chunks(body[:20], body[20:])
        call.end()

    return handler


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("label", ["text/plain", "application/json", "text/event-stream"])
@pytest.mark.parametrize("body", [whole_reply("Whole."), json.dumps(COMPLETION).encode()])
def test_cc_switch_1649_wrong_content_type(body: bytes, label: str, streams: bool) -> None:
    """A stream labelled as JSON is not read, nor JSON labelled as a stream."""

    async def run() -> None:
        async with relay(mislabelled(body, label)) as (_, port):
            assert completed_text(await ask_once(port, stream=streams)) == "Whole."

    bounded(run)()


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (402, "Insufficient Balance", (429, "insufficient_quota")),
        (429, "You exceeded your current quota: insufficient_quota", (429, "insufficient_quota")),
        (429, "Slow down", (200, "rate_limit_exceeded")),  # an event of a stream
        (401, "Bad key", (400, "invalid_prompt")),
        (503, "Busy", (200, "slow_down")),
    ],
)
def test_codex_lb_1246_errors_in_codexs_words(
    status: int, text: str, expected: tuple[int, str]
) -> None:
    """An empty account must end the turn, and a temporary failure must not."""
    reply = responses_exchange().error_reply(
        status, json.dumps({"error": {"message": text}}).encode(), None
    )
    if reply.status == 200:
        error = lawful_events(reply.body)[-1]["response"]["error"]
    else:
        error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == expected
    assert text in error["message"]


@bounded
async def test_codex_lb_2239_burst() -> None:
    """A 429 without a code is a burst, which passes and must not end the turn."""
    burst = b'{"error": {"message": "Too many requests, please slow down."}}'
    async with relay(refuses(429, burst), says()) as (above, port):
        assert completed_text(await ask_once(port)) == "Hi."
    assert len(above.seen) == 2


def test_codex_11071_full_context() -> None:
    """Usage shows 0 and a full context is any 400: Codex never compacts (#28920, #18572)."""
    full = b'{"error": {"message": "This model\'s maximum context length is 65536 tokens."}}'
    event = lawful_events(responses_exchange().error_reply(400, full, None).stream_events)[-1]
    assert event["response"]["error"]["code"] == "context_length_exceeded"
    inside = reply_events(
        {"error": {"code": 400, "message": "maximum context length is 65536 tokens"}}
    )
    assert inside[-1]["response"]["error"]["code"] == "context_length_exceeded"
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    for usage in ({}, {"usage": nothing}):
        events = reply_events(
            chunk(content="Hi."),
            chunk("stop") | usage,
            exchange=responses_exchange(input="x" * 40_000),
        )[-1]["response"]["usage"]
        assert events["estimated"] is True
        assert 9_000 < events["input_tokens"] < 11_000


@pytest.mark.parametrize(
    ("limits", "budget"),
    [
        ({"context_length": 400_000, "max_input_tokens": 272_000}, 272_000),
        ({"max_input_tokens": 272_000}, 272_000),
        ({"loaded_context_length": 8_192, "max_input_tokens": 272_000}, 8_192),
        ({"capabilities": {"limits": {"max_prompt_tokens": 12_288}}}, 12_288),
        ({"context_window": 131_072}, 131_072),
    ],
)
def test_codex_37319_context_window_is_what_may_be_sent(limits: Json, budget: int) -> None:
    """Codex compacts too late if the window counts input and output (LiveAgent#648)."""

    async def run() -> None:
        model_list = json.dumps({"data": [{"id": "m", **limits}]}).encode()
        async with relay(answer_with_list(model_list)) as (_, port), Client.connect(port) as client:
            answer = await get_path(client, "/v1/models?client_version=1")
        [model] = json.loads(answer.body)["models"]
        assert (model["context_window"], model["max_context_window"]) == (budget, budget)
        assert model["auto_compact_token_limit"] is None  # Codex's own share of that window

    bounded(run)()


async def comment_of(handler: Handler, **fields: Any) -> str:
    """The comment in mitmproxy's flow list."""
    seen: list[str] = []

    class Watch:
        def response(self, flow: HTTPFlow) -> None:
            seen.append(flow.comment)

    async with upstream(handler) as above:
        chain = exchange_addons(Watch())
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url, relay_provider="ollama") as (_, port):
            assert completed_text(await ask_once(port, **fields)) == "Hi."
    [comment] = seen
    return comment


@pytest.mark.parametrize(
    ("sent", "read", "cut"),
    [(60_000, 4_096, True), (60_000, 6_000, False), (20_000, 100, False)],
    ids=["cut", "as estimated", "too small to tell"],
)
def test_tradingagents_168_input_that_ollama_cuts_off(
    sent: int, read: int, cut: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Ollama silently cuts off what exceeds num_ctx, and the agent loses its instructions."""
    fallback._known_losses.clear()
    usage = {"prompt_tokens": read, "completion_tokens": 2, "total_tokens": read + 2}

    def handler(call: Call) -> None:
        call.stream(stream(chunk(content="Hi."), {**chunk("stop"), "usage": usage}))
        call.end()

    async def run() -> None:
        for _ in range(2):
            comment = await comment_of(handler, input="abcd" * (sent // 4))
            assert ("dropped input (it read 4096 of about 15" in comment) is cut

    with caplog.at_level(logging.WARNING):
        bounded(run)()
    reports = [line for line in caplog.messages if "dropped input (it read 4096 of" in line]
    assert len(reports) == cut  # one line is a warning, once
