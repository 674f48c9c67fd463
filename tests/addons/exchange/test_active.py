import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.test import tflow

from addons.config.addon import Config
from addons.exchange.active import (
    ActiveExchange,
    active_exchange,
    remove_exchange,
    reply_probe,
    reply_translator,
    whole_reply,
)
from addons.exchange.prepare import prepare_fallback_plan
from addons.observe import corpus, metrics
from addons.observe.exchange_record import RECORD
from addons.transport.plan import plan_of
from tests.addons.proxy import proxy
from tests.translate.support import chunk, responses_exchange
from tests.translate.support import stream as chat

REPLY = chat(chunk(content="Hi."), chunk("stop"))
KEY = {"relay_api_key": "k-secret"}


def with_exchange(test: Callable[[ActiveExchange], object], **options: str) -> None:
    """Run the test with an exchange whose flow is not on any connection."""

    async def run() -> None:
        chosen = {"relay_upstream": "http://127.0.0.1:9/v1", "relay_store": "off", **options}
        async with proxy(Config(), **chosen):
            outcome = test(await begin_exchange())
            if isinstance(outcome, Awaitable):
                await outcome

    asyncio.run(run())


async def begin_exchange() -> ActiveExchange:
    flow = tflow.tflow()
    flow.metadata["relay.route"] = "relay"
    flow.request.timestamp_end = time.time()
    flow.request.content = json.dumps({"model": "m", "input": "Hello.", "stream": True}).encode()
    plan = await prepare_fallback_plan(flow)
    return ActiveExchange(flow, plan, plan.build_exchange())


def flow_of(active: ActiveExchange) -> HTTPFlow:
    return active.flow_pair.client_flow


def test_started_exchange_is_the_flows_plan_and_record() -> None:
    def check(active: ActiveExchange) -> None:
        flow = flow_of(active)
        assert active_exchange(flow) is None and plan_of(flow) is None
        active.start()
        assert active_exchange(flow) is active and plan_of(flow) is active
        assert flow.metadata[RECORD]["status"] == "in_progress"
        assert flow.metadata[RECORD]["url"] == "http://127.0.0.1:9/v1"
        assert remove_exchange(flow) is active
        assert active_exchange(flow) is None

    with_exchange(check)


def test_settings_limit_the_plan() -> None:
    def check(active: ActiveExchange) -> None:
        assert (active.silence_limit, active.heartbeat_interval) == (7.0, 3.0)
        assert active.retry_delay("connection refused", 1) == 0.5
        assert active.retry_delay("connection refused", 3) is None
        assert active.is_ready()

    with_exchange(check, relay_timeout="7", relay_heartbeat="3", relay_retries="2")


def test_key_is_in_the_credentials_and_not_in_the_request() -> None:
    def check(active: ActiveExchange) -> None:
        assert active.credentials() == {"authorization": "Bearer k-secret"}
        assert "authorization" not in active.upstream_request.headers
        assert active.upstream_request.url == "http://127.0.0.1:9/v1/chat/completions"

    with_exchange(check, **KEY)


def test_requests_to_one_url_share_nothing() -> None:
    async def check(active: ActiveExchange) -> None:
        first, second = active.upstream_request, (await begin_exchange()).upstream_request
        assert dict(first.headers) == dict(second.headers)
        assert first.headers["content-length"] == str(len(first.raw_content or b""))
        first.headers["x-mine"], first.path, first.content = "1", "/changed", b"changed"
        assert "x-mine" not in second.headers
        assert second.path == "/v1/chat/completions" and b"Hello." in (second.content or b"")

    with_exchange(check)


def test_without_another_candidate_there_is_no_fallback() -> None:
    async def check(active: ActiveExchange) -> None:
        flow = flow_of(active)
        active.start()
        for flow.response in (Response.make(503, b"{}"), None):
            await active.try_fallback()
            assert active_exchange(flow) is active

    with_exchange(check)


def test_lesson_of_a_refusal_starts_another_exchange_on_the_flow() -> None:
    async def check(active: ActiveExchange) -> None:
        flow = flow_of(active)
        active.start()
        refusal = {"error": {"message": "Unsupported parameter: 'stream_options'"}}
        flow.response = Response.make(400, json.dumps(refusal).encode())
        await active.try_fallback()
        second = active_exchange(flow)
        assert second is not None and second is not active and plan_of(flow) is second
        assert b"stream_options" not in second.exchange.body
        assert second.current_record()["notes"] == ["learned: without stream_options"]

    with_exchange(check)


def test_end_is_complete_without_the_thread_of_the_corpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thread = ThreadPoolExecutor(1)
    thread.shutdown()  # as after a reload of the script
    monkeypatch.setattr(corpus, "_thread", thread)

    def check(active: ActiveExchange) -> None:
        flow = flow_of(active)
        active.start()
        flow.response = Response.make(200)
        flow.response.stream = reply_translator(active.exchange)
        flow.response.stream(REPLY)
        flow.response.stream(b"")
        count = exchange_count()
        active.end(None)
        assert flow.metadata[RECORD]["status"] == "completed"
        assert exchange_count() == count + 1
        assert flow.response.stream is True
        assert "relay_record: " in caplog.text

    with_exchange(check, relay_record=str(tmp_path))


def test_turn_is_left_out_when_too_many_wait_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(corpus, "MAX_WAITING", 0)

    def check(active: ActiveExchange) -> None:
        active.start()
        active.exchange.feed(REPLY)
        active.end(None)
        assert "0 turns wait to be written; this one is left out" in caplog.text

    with_exchange(check, relay_record=str(tmp_path))
    assert not list(tmp_path.iterdir())


def exchange_count() -> float:
    """How many exchanges the metrics have counted."""
    samples = [sample for metric in metrics._exchanges.collect() for sample in metric.samples]
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def test_whole_reply_is_translated_or_an_error() -> None:
    reply = whole_reply(responses_exchange({"stream": False}), Response.make(200, REPLY))
    assert reply.status == 200 and b"Hi." in reply.body
    headers = {"retry-after": "7"}
    error = whole_reply(
        responses_exchange({"stream": False}),
        Response.make(429, b'{"error": {"message": "slow"}}', headers),
    )
    assert error.status == 429 and error.headers["retry-after"] == "7"


def test_probe_tells_when_a_reply_begins() -> None:
    probe = reply_probe()
    assert [probe(REPLY[:6]), probe(REPLY[6:])] == ["pending", "begun"]


def test_probe_of_an_empty_reply_stays_pending() -> None:
    assert reply_probe()(b"") == "pending"
