"""The record of an exchange: when its first token came, what it used, how it ended."""

import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import flowfilter
from mitmproxy.flow import Error
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowWriter
from mitmproxy.test import tflow

from addons.observe import exchange_record, metrics
from addons.observe.exchange_record import (
    RECORD,
    RETRY_MARKER,
    STATUS_MARKERS,
    RecordLog,
    format_count,
    format_seconds,
    is_client_gone,
    notify_listeners,
    record_comment,
    record_log_line,
    record_marker,
)
from addons.observe.flow_pair import CLIENT_SIDE, PAIR_SIDE, UPSTREAM_SIDE
from tests.addons.exchange.test_addon import ask_once, delayed_stream, relay
from tests.addons.exchange.test_native_upstreams import completed, stream_events
from tests.addons.proxy import Call, Client, Handler, bounded
from tests.addons.views.support import FlowRecorder, ask_chat
from tests.translate.support import Json, chunk, events_wire
from tests.translate.support import stream as chat

HELLO: Json = {"messages": [{"role": "user", "content": "Hi."}]}
USAGE: Json = {"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 12,
                                  "prompt_tokens_details": {"cached_tokens": 8}}}  # fmt: skip
WAIT = 0.3  # s before and after the first part of a delayed stream
ROLE = chat(chunk(role="assistant", content=""), done=False)
LOOK = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{}"}}
CREATED: Json = {"type": "response.created", "response": {"id": "r", "status": "in_progress"}}
DELTA: Json = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi."}
NATIVE = {"relay_provider": "responses"}


async def record_of(handler: Handler, fields: Json | None = None, **options: Any) -> Json:
    """The record of one exchange."""
    recorder = FlowRecorder()
    async with relay(handler, extra_addons=(recorder,), **options) as (_, port):
        await ask_chat(port, **(fields or HELLO))
    flow = recorder.flows[-1]
    record: Json = flow.metadata[RECORD]
    assert flow.comment.startswith(record["model"])
    return record


DELAYED: list[tuple[Handler, dict[str, str]]] = [
    (delayed_stream(ROLE, chat(chunk(content="Hi."), chunk("stop"))), {}),
    (
        delayed_stream(
            ROLE, chat(chunk(reasoning_content="Hm."), chunk(content="Hi."), chunk("stop"))
        ),
        {},
    ),
    (delayed_stream(ROLE, chat(chunk(tool_calls=[LOOK]), chunk("tool_calls"))), {}),
    (delayed_stream(b": waiting\n\n", chat(chunk(refusal="No."), chunk("stop"))), {}),
    (delayed_stream(events_wire(CREATED), events_wire(DELTA, completed())), NATIVE),
]


@pytest.mark.parametrize(("handler", "options"), DELAYED)
@bounded
async def test_first_token_is_the_first_text_reasoning_or_call(
    handler: Handler, options: dict[str, str]
) -> None:
    """A heartbeat, the head of a stream or a chunk with only a role is no first token."""
    record = await record_of(handler, relay_heartbeat="0.1", **options)
    assert record["status"] == "completed"
    assert record["first_token"] > 1.9 * WAIT
    assert record["first_byte"] < record["first_token"] <= record["seconds"]


@bounded
async def test_reply_without_output_has_no_first_token() -> None:
    def silent(call: Call) -> None:
        call.stream(ROLE, chat(chunk("length")))
        call.end()

    record = await record_of(silent)
    assert (record["first_token"], record["status"]) == (None, "incomplete")
    assert record["first_byte"] is not None


@bounded
async def test_text_from_the_request_is_not_a_first_token() -> None:
    """The stream's first event repeats the client's instructions."""
    recorder = FlowRecorder()
    handler = delayed_stream(ROLE, chat(chunk(content="Hi."), chunk("stop")))
    async with relay(handler, extra_addons=(recorder,)) as (_, port):
        await ask_once(port, instructions='Use df.delta, event: x.delta and "delta":{"content":"a')
    assert recorder.flows[0].metadata[RECORD]["first_token"] > 1.9 * WAIT


@pytest.mark.parametrize("streams", [True, False])
@bounded
async def test_usage_is_recorded_even_if_the_client_does_not_request_it(streams: bool) -> None:
    def calls(call: Call) -> None:
        two = [chunk(tool_calls=[{**LOOK, "index": n, "id": f"c{n}"}]) for n in (0, 1)]
        call.stream(chat(*two, chunk("tool_calls"), USAGE))
        call.end()

    record = await record_of(calls, {**HELLO, "stream": streams, "stream_options": None})
    counts = [record[name] for name in ("input_tokens", "cached_tokens", "output_tokens", "calls")]
    assert counts == [40, 8, 12, 2]
    assert (record["status"], record["estimated"], record["asked"]) == (
        "completed",
        False,
        "gpt-5.5",
    )
    assert (record["first_token"] is not None) == streams


@bounded
async def test_native_upstream_has_the_same_record() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "note", "input": "x"}
    usage = {"input_tokens": 40, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 12}
    done = completed(call)
    done["response"]["usage"] = usage
    record = await record_of(
        stream_events(CREATED, {"type": "response.output_item.done", "item": call}, done), **NATIVE
    )
    assert (record["calls"], record["input_tokens"], record["output_tokens"]) == (1, 40, 12)
    assert record["provider"] == "responses"


@bounded
async def test_failure_within_the_stream_is_recorded() -> None:
    def dies(call: Call) -> None:
        call.stream(chat(chunk(content="Half a sen"), done=False))
        call.cut()

    record = await record_of(dies, relay_retries="0")
    assert record["status"] == "failed" and "lost" in record["error"]
    assert record["first_token"] is not None


# The record as text

WHOLE: Json = {
    "asked": "gpt-5.5", "provider": "deepseek", "model": "deepseek-chat",
    "resent": None, "status": "completed",
    "error": None, "reason": None, "dropped": [], "notes": [], "calls": 0, "estimated": False,
    "input_tokens": 12_345, "cached_tokens": 9_800, "output_tokens": 412, "first_token": 0.8,
    "tokens_per_second": 51.6, "seconds": 8.25,
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "comment"),
    [
        ({}, "12.3k in (9.8k cached) · 412 out · TTFT 0.8 s · 52 tokens/s"),
        ({"cached_tokens": 0, "tokens_per_second": None}, "12.3k in · 412 out · TTFT 0.8 s"),
        (
            {"estimated": True, "cached_tokens": None, "first_token": None, "calls": 1},
            "~12.3k in · ~412 out · 52 tokens/s · 1 call · usage estimated",
        ),
        (
            {"input_tokens": None, "first_token": 0.05, "calls": 2, "resent": "f-1"},
            "resent from f-1 · TTFT 50 ms · 52 tokens/s · 2 calls",
        ),
        (
            {"input_tokens": None, "first_token": None, "tokens_per_second": None,
             "status": "failed", "error": "no\ud800", "notes": ["retried"], "dropped": ["a", "b"]},
            r"failed: no\ud800 · retried · dropped a, b",
        ),
    ],
)  # fmt: skip
def test_comment_has_all_known_facts(fields: Json, comment: str) -> None:
    assert record_comment({**WHOLE, **fields}) == f"deepseek-chat · {comment}"


def test_log_line_has_both_models_and_the_time() -> None:
    line = record_log_line({**WHOLE, "input_tokens": None, "first_token": None})
    assert line == "gpt-5.5 → deepseek-chat · 52 tokens/s · 8.2 s"


def test_readmes_search_finds_first_tokens_from_two_seconds_on() -> None:
    readme = (Path(__file__).parents[3] / "addons" / "README.md").read_text()
    [search] = re.findall(r"`(~comment '.+?')`", readme)
    flow = tflow.tflow()

    def is_found(seconds: float) -> bool:
        flow.comment = record_comment({**WHOLE, "first_token": seconds, "tokens_per_second": 25})
        return bool(flowfilter.match(flowfilter.parse(search), flow))

    assert all(map(is_found, (2.0, 2.04, 9.96, 10.0, 31.2, 250.0)))
    assert not any(map(is_found, (0.0, 0.002, 0.02, 0.099, 0.25, 1.94)))


def test_markers() -> None:
    assert record_marker(WHOLE) == STATUS_MARKERS["completed"]
    assert record_marker({**WHOLE, "notes": ["retried"]}) == RETRY_MARKER
    assert record_marker({**WHOLE, "status": "failed", "notes": ["x"]}) == STATUS_MARKERS["failed"]
    assert record_marker({**WHOLE, "status": "cancelled"}) == STATUS_MARKERS["failed"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (999_949, "999.9k"), (999_950, "1.0M")],
)
def test_counts_are_short(count: int, text: str) -> None:
    assert format_count(count) == text


def test_seconds_are_short() -> None:
    assert [format_seconds(s) for s in (0.0123, 0.1, 12.34)] == ["12 ms", "0.1 s", "12.3 s"]


def test_disconnected_client_is_not_an_error() -> None:
    flow = tflow.tflow(err=True)
    assert not is_client_gone(flow) and not is_client_gone(tflow.tflow())
    flow.error = Error("Client disconnected.")
    assert is_client_gone(flow)


def test_failing_listener_stops_neither_others_nor_the_exchange(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[HTTPFlow] = []

    def fail(flow: HTTPFlow, record: Json) -> None:
        raise RuntimeError("broken")

    def listen(flow: HTTPFlow, record: Json) -> None:
        calls.append(flow)

    monkeypatch.setattr(exchange_record, "record_listeners", [fail, listen])
    flow = tflow.tflow()
    notify_listeners(flow, WHOLE)
    assert calls == [flow] and "failed at recording an exchange" in caplog.text


def test_exchanges_from_a_file_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client, upstream, plain_flow = (tflow.tflow(resp=True) for _ in range(3))
    client.metadata = {PAIR_SIDE: CLIENT_SIDE, RECORD: WHOLE}
    upstream.metadata = {PAIR_SIDE: UPSTREAM_SIDE}
    for flow in (client, upstream, plain_flow):
        flow.live = False
        RecordLog().response(flow)
    assert [r.message for r in caplog.records] == [record_log_line(WHOLE)]


ODD_NAMES = [
    "m\x1b[31m\x07", "m\r\nforged → line", "m\u202egnp.exe", "m\ud800", "m\x00", "m" * 5000,
    '<img src=x onerror="alert(1)">', 'm"} 1\nforged{a="', "m\u2028m",
]  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
@pytest.mark.parametrize("name", ODD_NAMES)
@bounded
async def test_odd_names_are_shown_in_printable_form(
    name: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recorder = FlowRecorder()
    tool: Json = {"type": "function", "name": name, "function": {"name": name}}
    request: Json = {"model": name, "stream": True, "tools": [tool], "input": "Hi."} | HELLO

    def calls(call: Call) -> None:
        named_call = {"index": 0, "id": "c", "function": {"name": name, "arguments": "{}"}}
        call.stream(chat(chunk(tool_calls=[named_call]), chunk("tool_calls")))
        call.end()

    async with (
        relay(calls, extra_addons=(recorder,)) as (_, port),
        Client.connect(port) as client,
    ):
        answer = await client.ask(path, json.dumps(request).encode(), host="localhost")
    assert all(value.isascii() and value.isprintable() for value in answer.headers.values())
    [line] = [text for each in caplog.records if " → " in (text := each.getMessage())]
    flow = recorder.flows[-1]
    for text in (line, flow.comment):
        assert text.isprintable() and len(text) <= 2000, text
    assert flow.metadata[RECORD]["status"] in ("completed", "failed")
    assert flow.marked != STATUS_MARKERS["in_progress"]
    FlowWriter(io.BytesIO()).add(flow)
    page = metrics.metrics_page().decode()
    assert all(row.isprintable() and len(row) < 1000 for row in page.split("\n")), page
