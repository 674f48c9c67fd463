"""The dashboard's server inside the relay: only the relay reaches it, and flows hide it."""

import json
from typing import Any

from addons.config.addon import Config
from addons.dashboard.addon import Dashboard
from addons.demo_provider import DemoProvider
from addons.ingress.addon import Ingress
from addons.observe.usage_totals import UsageCounter
from addons.transport.addon import Transport
from tests.accounts_table import AccountTable
from tests.addons.dashboard.pages import (
    BEARER,
    HOST,
    KEY,
    dashboard_relay,
    get_page,
    post_token,
    snapshot_of,
)
from tests.addons.proxy import Client, bounded, proxy


@bounded
async def test_inner_port_needs_the_secret_of_the_relay() -> None:
    async with dashboard_relay() as (dashboard, port):
        async with Client.connect(dashboard.inner_port) as client:
            for headers in ({}, {"x_relay_inner": "(hidden)"}, {"x_relay_inner": "\xff"}):
                for target in ("/relay/", "/relay/data", "/relay/static/app.js", "/other"):
                    assert (await get_page(client, target, **headers)).status == 403
            assert (
                await get_page(client, "/relay/data", x_relay_inner=dashboard.inner_secret)
            ).status == 200
        async with Client.connect(port) as client:  # the relay does not forward to that port either
            target = f"http://127.0.0.1:{dashboard.inner_port}/relay/data"
            assert (
                await get_page(client, target, host=f"127.0.0.1:{dashboard.inner_port}")
            ).status == 403
            forged = {"x_relay_inner": "mine", "x_relay_scheme": "https"}
            snapshot = await snapshot_of(client, **forged)
            assert snapshot["setup"][0]["text"].count(f'"http://{HOST}/v1"') == 1


@bounded
async def test_flows_show_no_secret() -> None:
    class FlowCollector:
        flows: list[Any] = []

        def response(self, flow: Any) -> None:
            self.flows.append(flow)

    collector = FlowCollector()
    dashboard = Dashboard(AccountTable())
    chain = [Config(), Transport(), Ingress(), dashboard, UsageCounter(), DemoProvider(), collector]
    options = {"relay_store": "off", "relay_client_key": KEY}
    async with proxy(*chain, **options) as (_, port), Client.connect(port) as client:
        post_headers = {"x_relay_token": await post_token(client), **BEARER}
        answer = await client.ask("/relay/session", b"", **post_headers)
        cookie = answer.headers["set-cookie"].split(";")[0]
        assert "ada@example.com" in json.dumps(await snapshot_of(client, cookie=cookie))
    for flow in collector.flows:
        text = str(flow.get_state())
        assert KEY not in text and dashboard.inner_secret not in text and "example.com" not in text
        assert cookie.partition("=")[2] not in text
    assert len(collector.flows) == 3


@bounded
async def test_forged_header_does_not_change_other_replies() -> None:
    body = b'{"model": "demo", "input": "Hello.", "stream": true}'
    async with dashboard_relay() as (_, port), Client.connect(port) as client:
        answer = await client.ask("/v1/responses", body, x_relay_inner="mine")
    assert b"response.completed" in answer.body
