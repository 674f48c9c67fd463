"""The views in mitmproxy, which chooses them for the flows of a real relay alone."""

from mitmproxy import contentviews
from mitmproxy.addons.view import View
from mitmproxy.test import taddons

from addons.observe import partner_flow
from addons.views import Views
from tests.addons.exchange.test_addon import ask, refuses, relay, says
from tests.addons.exchange.test_native_upstreams import DONE, completed, stream_events
from tests.addons.proxy import Client, bounded
from tests.addons.views.support import FlowRecorder, ask_chat, relayed_flow, view_text


@bounded
async def test_mitmproxy_chooses_the_views_for_relayed_flows_only() -> None:
    recorder = FlowRecorder()
    addons = (View(), Views(), recorder)
    async with relay(says("Hello there."), refuses(404), extra_addons=addons) as (_, port):
        async with Client.connect(port) as client:
            await ask(client)
            await client.ask("/v1/models", b"", method="GET", host="localhost")
        flow, models = recorder.flows
        upstream = partner_flow(flow)
        assert upstream and upstream.response
        assert view_text(flow.request, flow)[0] == "Turn"
        assert view_text(upstream.request, upstream)[0] == "Turn"
        for side in (flow, upstream):
            name, text = view_text(side.response, side)
            assert name == "Stream" and "Hello there." in text and "first byte" in text
            for message in (side.request, side.response):
                name, text = view_text(message, side, "both sides")
                assert "client" in text and "generic" in text
        assert view_text(models.response, models)[0] == "Catalog"
        stranger = relayed_flow(flow.request.content or b"", b"{}")
        stranger.metadata.clear()
        assert view_text(stranger.request, stranger)[0] not in ("Turn", "Stream", "Both sides")
    assert "turn" not in contentviews.registry


@bounded
async def test_views_of_chat_clients_with_and_without_an_upstream_flow() -> None:
    recorder, messages = FlowRecorder(), [{"role": "user", "content": "Hi."}]
    async with relay(says("Hello there."), extra_addons=(Views(), recorder)) as (_, port):
        await ask_chat(port, messages=messages)
        await ask_chat(port, messages=messages, stream=False)
        [streamed, whole] = recorder.flows
        assert view_text(streamed.request, streamed)[0] == "Turn"
        name, text = view_text(whole.response, whole)
        assert name == "Turn" and "stop" in text and "Hello there." in text
    async with relay(says("Hello there."), extra_addons=(View(), Views(), recorder)) as (_, port):
        await ask_chat(port, messages=messages)
        flow = recorder.flows[-1]
        upstream = partner_flow(flow)
        assert upstream
        for side in (flow, upstream):
            text = view_text(side.response, side, "both sides")[1]
            assert "generic │ " in text and "client  │ " in text and "delta.content" in text
            assert "[DONE]" in text and "first token" in text
            text = view_text(side.request, side, "both sides")[1]
            assert "max_completion_tokens         9" in text and "→ max_tokens 9" in text


@bounded
async def test_chat_client_and_an_upstream_that_speaks_responses() -> None:
    recorder = FlowRecorder()
    addons = (View(), Views(), recorder)
    handler = stream_events(completed(DONE))
    async with relay(handler, relay_provider="responses", extra_addons=addons) as (_, port):
        assert (await ask_chat(port)).status == 200
        [flow] = recorder.flows
        upstream = partner_flow(flow)
        assert upstream
        for side in (flow, upstream):
            assert view_text(side.response, side)[0] == "Stream"
            text = view_text(side.response, side, "both sides")[1]
            assert "response.completed" in text and "finish_reason  stop" in text
            text = view_text(side.request, side, "both sides")[1]
            assert "client 0 · system → responses instructions, the same words" in text
            assert "client 2 · call of note · b → responses " in text
            assert "reasoning_effort              high" in text and "→ reasoning.effort" in text


def test_view_of_a_reloaded_script_stays_registered() -> None:
    with taddons.context():
        first, second = Views(), Views()
        first.load(None)
        second.load(None)
        first.done()  # removes none of the second's views
        assert contentviews.registry["turn"] is second.views[0]
        second.done()
    assert "turn" not in contentviews.registry
