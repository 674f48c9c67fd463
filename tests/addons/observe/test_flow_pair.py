"""The two flows of an exchange; tests/addons/replay and tests/browser use them as users do."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.save import Save
from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow, Request, Response
from mitmproxy.test import taddons, tflow

from addons.config.addon import Config
from addons.observe import flow_pair
from addons.observe.exchange_record import time_fields
from addons.observe.flow_pair import (
    CLIENT_SIDE,
    MANY_TIMES,
    PAIR_SIDE,
    PARTNER_ID,
    PIECE_TIMES,
    UPSTREAM_SIDE,
    VIEW_INTERVAL,
    FlowPair,
    FlowPairIndex,
    StreamedBody,
    body_size,
    is_saving_flows,
    keep_ended_flows,
    partner_flow,
    view_addon,
    view_interval,
)

SSE = {"content-type": "text/event-stream"}


@contextmanager
def mitmproxy(*addons: Any, **options: str) -> Iterator[Any]:
    config = Config()
    with taddons.context(Proxyserver(), Save(), config, *addons) as context:
        context.options.add_option("hardump", str, "", "")
        context.configure(config, **options)
        yield context


def client_flow() -> HTTPFlow:
    flow = tflow.tflow()
    flow.response = Response.make(200, b"", SSE)
    return flow


def chat_request() -> Request:
    headers = {"authorization": "Bearer sk-secret"}
    return Request.make("POST", "https://api.deepseek.com/v1/chat/completions", b"{}", headers)


def test_without_a_view_or_file_there_is_one_flow_and_no_body() -> None:
    with mitmproxy():
        assert view_addon() is None and not is_saving_flows()
        flow = client_flow()
        pair = FlowPair(flow, chat_request())
        pair.on_upstream_head(Response.make(200, b"", SSE))
        pair.on_upstream_bytes(b"chunk")
        pair.on_client_bytes(b"event", output_started=True)
        assert pair.first_byte_at and pair.first_token_at
        assert pair.flows == []
        pair.end_pair(None)
        assert flow.response and not flow.response.raw_content
        assert PAIR_SIDE not in flow.metadata


def test_first_token_is_when_output_started() -> None:
    with mitmproxy():
        pair = FlowPair(client_flow(), chat_request())
        pair.on_client_bytes(b": heartbeat\n\n", output_started=False)
        assert not pair.first_token_at
        pair.on_client_bytes(b"data: text\n\n", output_started=True)
        first_token_at = pair.first_token_at
        assert pair.sent_at <= first_token_at <= time.time()
        pair.on_client_bytes(b"data: more\n\n", output_started=True)
        assert pair.first_token_at == first_token_at


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_times_do_not_follow_a_jump_of_the_clock(
    jump: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mitmproxy():
        pair = FlowPair(client_flow(), chat_request())
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + jump)
        pair.on_upstream_head(Response.make(200, b"", SSE))
        pair.on_client_bytes(b"data: text\n\n", output_started=True)
        times = (pair.first_byte_at, pair.first_token_at, pair.current_time())
        assert times == tuple(sorted(times))
        assert all(0 <= each - pair.sent_at < 60 for each in times)
        fields = time_fields(pair, 10, pair.current_time())
        assert all(0 <= value < 60 for name, value in fields.items() if value is not None)


def test_view_shows_both_flows_as_they_grow() -> None:
    view = View()
    with mitmproxy(view):
        flow = client_flow()
        pair = FlowPair(flow, chat_request())
        upstream = partner_flow(flow)
        assert upstream and view.get_by_id(upstream.id) is upstream
        assert partner_flow(upstream) is flow
        assert (flow.metadata[PAIR_SIDE], upstream.metadata[PAIR_SIDE]) == (
            CLIENT_SIDE,
            UPSTREAM_SIDE,
        )
        assert upstream.request.headers["authorization"] == "Bearer (hidden)"
        pair.on_upstream_head(Response.make(200, b"", SSE | {"set-cookie": "a=secret"}))
        pair.on_upstream_bytes(b"one")
        pair.on_client_bytes(b"1", output_started=True)
        assert upstream.response and upstream.response.raw_content == b"one"
        assert "secret" not in str(upstream.response.headers)
        pair.on_upstream_bytes(b"two")
        pair.on_client_bytes(b"2", output_started=True)
        assert upstream.response.raw_content == b"one"  # the view is updated twice a second
        assert pair.flows == [flow, upstream]
        pair.end_pair(None)
        assert pair.flows == []
        assert upstream.response.raw_content == b"onetwo"
        assert flow.response and flow.response.raw_content == b"12"
        ms, offset = flow.metadata[PIECE_TIMES][0]
        assert 0 <= ms < 1000 and offset == 0


def test_reply_of_another_attempt_replaces_the_first() -> None:
    with mitmproxy(View()):
        flow = client_flow()
        pair = FlowPair(flow, chat_request())
        pair.on_upstream_head(Response.make(200, b"", SSE))
        first_byte_at = pair.first_byte_at
        pair.on_upstream_bytes(b"half")
        pair.on_upstream_head(Response.make(200, b"", SSE))
        pair.on_upstream_bytes(b"whole")
        _, upstream = pair.flows
        pair.end_pair(None)
        assert upstream.response and upstream.response.raw_content == b"whole"
        assert pair.first_byte_at == first_byte_at


def test_attempt_without_a_stream_shows_its_whole_reply_or_error() -> None:
    with mitmproxy(View()):
        flow = client_flow()
        pair = FlowPair(flow, chat_request())
        _, upstream = pair.flows
        pair.end_upstream(Response.make(429, b"slow down"))
        assert upstream.response and upstream.response.raw_content == b"slow down"
        failed_flow = tflow.tflow(err=True)
        failed_pair = FlowPair(failed_flow, chat_request())
        _, upstream = failed_pair.flows
        failed_pair.end_upstream(None)
        assert upstream.response is None and upstream.error is failed_flow.error


def test_pieces_have_times_that_are_bounded() -> None:
    flow = client_flow()
    body = StreamedBody(flow, 100.0)
    for ms in (0, 1, 4, 5, 30):
        body.append_piece(b"x", 100 + ms / 1000 + 0.0001)
    body.update_flow()
    assert flow.metadata[PIECE_TIMES] == [[0, 0], [5, 3], [30, 4]]
    for piece in range(3 * MANY_TIMES):
        body.append_piece(b"x", 101 + piece * 0.006)
    body.update_flow()
    assert len(flow.metadata[PIECE_TIMES]) < 2.1 * MANY_TIMES
    assert body_size(flow) == body.size + len(flow.request.raw_content or b"")
    body.clear_pieces()
    assert body.size == 0


def test_flows_from_a_file_find_each_other() -> None:
    flow, upstream, other = (tflow.tflow(resp=True) for _ in range(3))
    flow.metadata = {PAIR_SIDE: CLIENT_SIDE, PARTNER_ID: upstream.id}
    upstream.metadata = {PAIR_SIDE: UPSTREAM_SIDE, PARTNER_ID: flow.id}
    index = FlowPairIndex()
    for one_flow in (flow, upstream, other):
        index.request(one_flow)
        index.response(one_flow)
    assert partner_flow(flow) is upstream and partner_flow(upstream) is flow
    assert partner_flow(other) is None
    del upstream, one_flow
    flow_pair._flows_by_id.pop(flow.metadata[PARTNER_ID], None)
    assert partner_flow(flow) is None


@pytest.fixture(autouse=True)
def no_ended_flows() -> Iterator[None]:
    flow_pair._ended_flows.clear()
    yield
    flow_pair._ended_flows.clear()


def ended_flow(size: int) -> HTTPFlow:
    flow = tflow.tflow(resp=True)
    assert flow.response
    flow.request.raw_content, flow.response.raw_content = b"", b"x" * size
    return flow


def test_large_flows_are_viewed_less_often() -> None:
    assert view_interval([]) == view_interval([ended_flow(1_000_000)]) == VIEW_INTERVAL
    assert view_interval([ended_flow(20_000_000), ended_flow(0)]) == 10 * VIEW_INTERVAL


@pytest.mark.parametrize(
    ("limit", "size", "kept"), [("3", 1, 3), ("3,1MB", 600_000, 1), ("1MB", 2_000_000, 1)]
)
def test_oldest_exchanges_are_removed(limit: str, size: int, kept: int) -> None:
    view = View()
    with mitmproxy(view, relay_keep=limit):
        flows = [ended_flow(size) for _ in range(5)]
        for flow in flows:
            view.add([flow])
            keep_ended_flows(flow)
        assert [flow for flow in flows if view.get_by_id(flow.id)] == flows[-kept:]


def test_without_a_view_no_ended_flow_is_kept() -> None:
    with mitmproxy():
        keep_ended_flows(ended_flow(1))
    assert not flow_pair._ended_flows
