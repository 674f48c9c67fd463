"""The commands on an exchange: relay.resend, relay.diff, and mitmproxy's own replay."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import ctx
from mitmproxy.exceptions import CommandError
from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow

from addons.flow_data import MASK
from addons.observe.flow_pair import CLIENT_SIDE, PAIR_SIDE, UPSTREAM_SIDE, partner_flow
from tests.addons.exchange.test_addon import HELLO, refuses, says, until
from tests.addons.exchange.test_images import image, image_bytes, image_url, message, sample_image
from tests.addons.exchange.test_native_upstreams import DONE, completed, stream_events
from tests.addons.proxy import Call, Client, bounded, upstream
from tests.addons.replay.support import record_exchange, relay_with_commands, send_request
from tests.translate.support import chunk, lawful_events
from tests.translate.support import stream as chat


def final_response(flow: HTTPFlow) -> Any:
    assert flow.response
    return lawful_events(flow.response.content or b"")[-1]["response"]


def visible_state(flow: HTTPFlow) -> list[Any]:
    state = flow.get_state()
    return [state[name] for name in ("request", "response", "metadata", "comment", "is_replay")]


# relay.resend, and mitmproxy's own replay


@pytest.mark.parametrize("side", [CLIENT_SIDE, UPSTREAM_SIDE])
@bounded
async def test_resent_request_is_an_exchange_of_its_own(side: str) -> None:
    async with relay_with_commands(says(), says("Again."), relay_api_key="k-relay") as (
        server,
        port,
        ended_flows,
        call,
    ):
        first = await record_exchange(port, ended_flows)
        flow = first if side == CLIENT_SIDE else partner_flow(first)
        old_state = visible_state(first)
        call("relay.resend", [flow])
        second = await ended_flows.wait_for(2)
        assert visible_state(first) == old_state
    assert second is not first
    assert final_response(second)["output"][0]["content"][0]["text"] == "Again."
    [first_call, second_call] = server.seen
    assert first_call.body == second_call.body
    assert second_call.headers["authorization"] == "Bearer k-relay"
    assert first.request.headers["authorization"] == f"Bearer {MASK}"
    assert "authorization" not in second.request.headers
    upstream_flow = partner_flow(second)
    assert upstream_flow and upstream_flow is not partner_flow(first)
    assert upstream_flow.metadata[PAIR_SIDE] == UPSTREAM_SIDE
    assert second.metadata["relay.resent"] == first.id
    assert f"resent from {first.id}" in second.comment


@pytest.mark.parametrize("native", [False, True])
@bounded
async def test_chat_clients_request_is_sent_and_compared_again(native: bool) -> None:
    options = {"relay_provider": "responses"} if native else {}
    handler = stream_events(completed(DONE)) if native else says()
    async with relay_with_commands(handler, **options) as (server, port, ended_flows, call):
        first = await record_exchange(
            port, ended_flows, messages=[{"role": "user", "content": "Hello."}]
        )
        call("relay.resend", [first])
        second = await ended_flows.wait_for(2)
        for flow in (first, second, partner_flow(first), partner_flow(second)):
            assert call("relay.diff", [flow]) == ["no difference"]
        call("replay.client", [first])
        declined = await ended_flows.wait_for(3)
        assert declined is first and first.response
        assert f"relay.resend @{first.id}" in first.response.json()["error"]["message"]
    [first_call, second_call] = server.seen
    assert first_call.body == second_call.body
    assert first_call.request_line == second_call.request_line
    assert second.request.path == "/v1/chat/completions"
    text = second.response.text if second.response else ""
    assert text and '"content":"Hi."' in text and text.endswith("data: [DONE]\n\n")


@bounded
async def test_resending_needs_no_client_key() -> None:
    options = {"relay_client_key": "k-mine"}
    async with relay_with_commands(says(), says("Again."), **options) as (
        server,
        port,
        ended_flows,
        call,
    ):
        await send_request(port, "k-mine")
        first = await ended_flows.wait_for(1)
        first.request.headers["authorization"] = "(hidden)"
        call("relay.resend", [first])
        second = await ended_flows.wait_for(2)
        assert final_response(second)["status"] == "completed"
        # A client that sends the mask gets no access.
        assert (await send_request(port, "(hidden)")).status == 401
    assert len(server.seen) == 2


@bounded
async def test_flow_can_be_resent_twice_and_from_a_resent_one() -> None:
    async with relay_with_commands(says()) as (server, port, ended_flows, call):
        first = await record_exchange(port, ended_flows)
        call("relay.resend", [first, first])
        await ended_flows.wait_for(3)
        call("relay.resend", [ended_flows.flows[-1]])
        last = await ended_flows.wait_for(4)
    assert len(server.seen) == 4
    assert last.metadata["relay.resent"] == ended_flows.flows[2].id
    assert len({flow.id for flow in ended_flows.flows}) == 4


@bounded
async def test_edited_request_is_sent_as_it_is_now() -> None:
    async with relay_with_commands(says()) as (server, port, ended_flows, call):
        first = await record_exchange(port, ended_flows)
        first.request.text = json.dumps({**HELLO, "input": "Something else."})
        call("relay.resend", [first])
        await ended_flows.wait_for(2)
    assert json.loads(server.seen[1].body)["messages"][-1]["content"] == "Something else."


@bounded
async def test_resent_request_that_fails_is_retried() -> None:
    async with relay_with_commands(says(), refuses(503), says("At last.")) as (
        server,
        port,
        ended_flows,
        call,
    ):
        first = await record_exchange(port, ended_flows)
        call("relay.resend", [first])
        second = await ended_flows.wait_for(2)
    assert final_response(second)["output"][0]["content"][0]["text"] == "At last."
    assert len(server.seen) == 3


@bounded
async def test_refused_request_can_be_resent_when_it_is_corrected() -> None:
    async with relay_with_commands(says()) as (server, port, ended_flows, call):
        first = await record_exchange(port, ended_flows, background=True)
        assert first.response and first.response.status_code == 400
        call("replay.client", [first])
        again = await ended_flows.wait_for(2)
        assert again.response and again.response.status_code == 409
        first.request.text = json.dumps(HELLO)
        call("relay.resend", [first])
        assert final_response(await ended_flows.wait_for(3))["status"] == "completed"
    assert len(server.seen) == 1


@pytest.mark.parametrize("side", [CLIENT_SIDE, UPSTREAM_SIDE])
@pytest.mark.parametrize("times", [1, 2])
@bounded
async def test_mitmproxys_replay_is_declined_with_a_reason(side: str, times: int) -> None:
    """Also the replay of a flow that was resent."""
    async with relay_with_commands(says()) as (server, port, ended_flows, call):
        flow: HTTPFlow | None = await record_exchange(port, ended_flows)
        if times == 2:
            call("relay.resend", [flow])
            flow = await ended_flows.wait_for(2)
        assert flow
        flow = flow if side == CLIENT_SIDE else partner_flow(flow)
        assert flow
        call("replay.client", [flow])
        declined = await ended_flows.wait_for(times + 1)
        assert declined is flow and flow.response
        assert flow.response.status_code == 409
        assert f"relay.resend @{flow.id}" in flow.response.json()["error"]["message"]
        [reason] = call("relay.diff", [flow])
        assert "cannot be re-checked: its reply is gone" in reason
        flow.revert()
        assert flow.response.status_code == 200
    assert len(server.seen) == times


@bounded
async def test_other_flows_are_replayed_by_mitmproxy() -> None:
    other_site = upstream(lambda call: call.reply(body=b"plain"))
    async with other_site as site, relay_with_commands(says()) as (server, port, ended_flows, call):
        async with Client.connect(port) as client:
            target = f"http://127.0.0.1:{site.port}/any"
            await client.ask(target, host=f"127.0.0.1:{site.port}")
        flow = await ended_flows.wait_for(1)
        with pytest.raises(CommandError, match="no exchange of the relay's"):
            call("relay.resend", [flow])
        call("replay.client", [flow])
        again = await ended_flows.wait_for(2)
    assert again.response and again.response.content == b"plain"
    assert len(site.seen) == 2 and not server.seen


@pytest.mark.parametrize("side", [CLIENT_SIDE, UPSTREAM_SIDE])
@bounded
async def test_what_a_capture_calls_an_exchange_is_sent_to_models_only(side: str) -> None:
    async with upstream(says()) as other, relay_with_commands(says()) as relay:
        server, port, ended_flows, call = relay
        flow = await record_exchange(port, ended_flows)
        flow.metadata |= {PAIR_SIDE: side, "relay.route": "relay"}
        flow.request.host, flow.request.port = "127.0.0.1", other.port
        for own, path in ((True, "/auth/logout"), (True, "/relay/data"), (False, "/v1/responses")):
            flow.request.path, flow.metadata["relay.own"] = path, own
            with pytest.raises(CommandError):
                call("relay.resend", [flow])
        assert len(ended_flows.flows) == 1
    assert not other.connections and len(server.seen) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"relay.own": True},
        {"relay.route": "logout"},
        {"relay.route": "accounts", "relay.own": False},
        {"relay.route": {}, "relay.own": True},
    ],
)
@bounded
async def test_replay_of_a_capture_changes_nothing_in_the_relay(metadata: dict[str, Any]) -> None:
    """A capture may mark any request as one for the relay itself, to log an account out."""
    async with relay_with_commands(says()) as (server, port, ended_flows, call):
        await record_exchange(port, ended_flows)
        flow = tflow.tflow(resp=True)
        flow.live, flow.metadata = False, metadata
        flow.request.host, flow.request.path = "other.example", "/auth/accounts"
        call("replay.client", [flow])
        declined = await ended_flows.wait_for(2)
        assert declined is flow and flow.response and flow.response.status_code == 409
    assert len(server.seen) == 1


# relay.diff


@bounded
async def test_diff_of_an_unchanged_exchange_is_empty() -> None:
    async with relay_with_commands(says()) as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows)
        for side in (flow, partner_flow(flow)):
            assert call("relay.diff", [side]) == ["no difference"]
        assert call("relay.diff", [flow, partner_flow(flow)]) == ["no difference"]
        call("relay.resend", [flow])
        second = await ended_flows.wait_for(2)
        assert call("relay.diff", [second]) == ["no difference"]
        with pytest.raises(CommandError, match="One exchange is needed, and here are 2"):
            call("relay.diff", [flow, second])


@bounded
async def test_diff_shows_todays_settings_against_what_was_sent(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("")
    config = {"relay_config": str(file)}
    async with relay_with_commands(says(), **config) as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows, temperature=0.5)
        file.write_text('[providers.generic]\nomits = ["temperature"]')
        ctx.options.update(relay_config=f"{tmp_path}/./relay.toml")
        diff = call("relay.diff", [flow])
    assert '- "temperature": 0.5,' in diff
    assert not [row for row in diff if row.startswith("+ ")]


@bounded
async def test_diff_with_pictures_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with relay_with_commands(says()) as (_, port, ended_flows, call):
        large_image = message(image(image_url(image_bytes(sample_image(3000, 10)))))
        flow = await record_exchange(port, ended_flows, input=[large_image])
        caplog.set_level("INFO")
        [first] = call("relay.diff", [flow])
        assert "event log" in first
        while "no difference" not in caplog.messages:
            await asyncio.sleep(0.01)


@bounded
async def test_diff_of_an_edited_request() -> None:
    async with relay_with_commands(says()) as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows)
        flow.request.text = json.dumps({**HELLO, "input": "Something else."})
        diff = call("relay.diff", [flow])
    assert '+   "content": "Something else."' in diff


@bounded
async def test_diff_of_an_upstream_request_that_is_no_longer_json() -> None:
    async with relay_with_commands(says()) as (_, port, ended_flows, call):
        flow = await record_exchange(port, ended_flows)
        upstream_flow = partner_flow(flow)
        assert upstream_flow
        upstream_flow.request.text = "edited"
        diff = call("relay.diff", [flow])
    assert '-"edited"' in diff


@bounded
async def test_diff_while_the_reply_streams_compares_the_request_only() -> None:
    request_came, may_end = asyncio.Event(), asyncio.Event()
    flows: list[HTTPFlow] = []

    async def handler(call: Call) -> None:
        call.stream(chat(chunk(content="Well, "), done=False))
        request_came.set()
        await may_end.wait()
        call.end()

    class StreamingFlows:
        def responseheaders(self, flow: HTTPFlow) -> None:
            flows.append(flow)

    async with relay_with_commands(handler) as (_, port, _, call), Client.connect(port) as client:
        ctx.master.addons.add(StreamingFlows())
        client.send("/v1/responses", json.dumps(HELLO).encode())
        await request_came.wait()
        await client.head()
        await until(client, b"Well, ")
        assert call("relay.diff", flows) == ["no difference"]
        may_end.set()
        await client.rest()
