"""Streams that never end, errors that say nothing, contexts that overflow, by their report.

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

from addons.exchange import fallback as turn
from tests.addons.chain import chain_of
from tests.addons.endpoints.test_codex_calls import get, lists
from tests.addons.exchange.test_addon import (
    COMPLETION,
    answered,
    failed,
    refuses,
    relay,
    said,
    says,
)
from tests.addons.exchange.test_addon import reply as whole_reply
from tests.addons.proxy import Call, Client, Handler, bounded, proxy, upstream
from tests.translate.support import TERMINAL, Json, carry, chunk, events_of, lawful, replied, stream


@pytest.mark.parametrize("end", ["", "cut", "[DONE]", "error"])
@pytest.mark.parametrize("begun", [[], [chunk(content="So far")]], ids=["nothing", "some"])
def test_cliproxyapi_2358_one_terminal_event(begun: list[Json], end: str) -> None:
    """`stream closed before response.completed` (#2410, codex#41340, CodexPlusPlus#888)."""
    by = carry()
    wire = by.feed(stream(*begun, done=False))
    if end == "error":
        wire += by.feed(stream({"error": {"message": "no"}}, done=False))
    wire += (
        by.cut("reset") if end == "cut" else by.feed(stream(done=True) if end[:1] == "[" else b"")
    )
    wire += by.feed(b"") + by.cut("again")
    kinds = [event["type"] for event in lawful(wire)]
    assert [kind for kind in kinds if kind in TERMINAL] == kinds[-1:]
    whole = end == "[DONE]" and begun
    assert kinds[-1] == ("response.completed" if whole else "response.failed")


@bounded
async def test_cliproxyapi_1979_silent_upstream() -> None:
    """Codex gives up while the provider thinks: nothing arrives that its clock counts."""

    async def slow(call: Call) -> None:
        await asyncio.sleep(0.4)
        says()(call)

    async with relay(slow, relay_heartbeat="0.1") as (_, port):
        answer = await answered(port)
    assert said(answer) == "Hi."
    kinds = [event["type"] for event in events_of(answer.body)]
    assert kinds.count("response.in_progress") >= 2


@bounded
async def test_codex_lb_181_limit_is_named() -> None:
    """`Proxy request budget exhausted`: which one, and who set it?"""

    async def mute(call: Call) -> None:
        call.stream(stream(chunk(content="So far"), done=False))
        await call.left()

    async with relay(mute, relay_timeout="1", relay_retries="0") as (_, port):
        assert failed(await answered(port))["message"] == (
            "The upstream 127.0.0.1 was lost: upstream silent for 1 s (relay_timeout)"
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
    """A stream that calls itself JSON is not read, nor JSON that calls itself a stream."""

    async def run() -> None:
        async with relay(mislabelled(body, label)) as (_, port):
            assert said(await answered(port, stream=streams)) == "Whole."

    bounded(run)()


@pytest.mark.parametrize(
    ("status", "text", "known"),
    [
        (402, "Insufficient Balance", (429, "insufficient_quota")),
        (429, "You exceeded your current quota: insufficient_quota", (429, "insufficient_quota")),
        (429, "Slow down", (429, "rate_limit_exceeded")),
        (401, "Bad key", (400, "invalid_prompt")),
        (503, "Busy", (503, "server_is_overloaded")),
    ],
)
def test_codex_lb_1246_errors_in_codexs_words(
    status: int, text: str, known: tuple[int, str]
) -> None:
    """An empty account must end the turn, and what passes must not."""
    reply = carry().fail(status, json.dumps({"error": {"message": text}}).encode(), None)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == known
    assert text in error["message"]


@bounded
async def test_codex_lb_2239_burst() -> None:
    """A 429 of words alone is a burst: it passes, and is no reason to end a turn."""
    burst = b'{"error": {"message": "Too many requests, please slow down."}}'
    async with relay(refuses(429, burst), says()) as (above, port):
        assert said(await answered(port)) == "Hi."
    assert len(above.seen) == 2


def test_codex_11071_full_context() -> None:
    """Usage shows 0 and a full context is any 400: Codex never compacts (#28920, #18572)."""
    full = b'{"error": {"message": "This model\'s maximum context length is 65536 tokens."}}'
    event = lawful(carry().fail(400, full, None).event)[-1]
    assert event["response"]["error"]["code"] == "context_length_exceeded"
    inside = replied({"error": {"code": 400, "message": "maximum context length is 65536 tokens"}})
    assert inside[-1]["response"]["error"]["code"] == "context_length_exceeded"
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    for usage in ({}, {"usage": nothing}):
        told = replied(chunk(content="Hi."), chunk("stop") | usage, by=carry(input="x" * 40_000))[
            -1
        ]["response"]["usage"]
        assert told["estimated"] is True
        assert 9_000 < told["input_tokens"] < 11_000


@pytest.mark.parametrize(
    ("told", "budget"),
    [
        ({"context_length": 400_000, "max_input_tokens": 272_000}, 272_000),
        ({"max_input_tokens": 272_000}, 272_000),
        ({"loaded_context_length": 8_192, "max_input_tokens": 272_000}, 8_192),
        ({"capabilities": {"limits": {"max_prompt_tokens": 12_288}}}, 12_288),
        ({"context_window": 131_072}, 131_072),
    ],
)
def test_codex_37319_context_window_is_what_may_be_sent(told: Json, budget: int) -> None:
    """Codex compacts too late where the window is input and output (LiveAgent#648)."""

    async def run() -> None:
        listed = json.dumps({"data": [{"id": "m", **told}]}).encode()
        async with relay(lists(listed)) as (_, port), Client.connect(port) as client:
            answer = await get(client, "/v1/models?client_version=1")
        [model] = json.loads(answer.body)["models"]
        assert (model["context_window"], model["max_context_window"]) == (budget, budget)
        assert model["auto_compact_token_limit"] is None  # Codex's own share of that window

    bounded(run)()


async def comment_of(handler: Handler, **fields: Any) -> str:
    """What mitmproxy's flow list says of one exchange."""
    seen: list[str] = []

    class Watch:
        def response(self, flow: HTTPFlow) -> None:
            seen.append(flow.comment)

    async with upstream(handler) as above:
        chain = chain_of(Watch())
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url, relay_provider="ollama") as (_, port):
            assert said(await answered(port, **fields)) == "Hi."
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
    """What exceeds num_ctx is cut off in silence, and the agent forgets what it was told."""
    turn._told.clear()
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
    told = [line for line in caplog.messages if "did not get input (it read 4096" in line]
    assert len(told) == cut  # once
    assert not told or told[0].startswith("Ollama (gpt-5.5) did not get")
