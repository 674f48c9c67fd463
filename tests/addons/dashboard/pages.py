"""A relay with the dashboard, and a browser's requests to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from addons.config.addon import Config
from addons.dashboard.addon import Dashboard
from addons.demo_provider import DemoProvider
from addons.endpoints.addon import Endpoints
from addons.exchange.addon import Translator
from addons.ingress.addon import Ingress
from addons.observe.usage_totals import UsageCounter
from addons.transport.addon import Transport
from tests.accounts_table import AccountTable
from tests.addons.proxy import Answer, Client, proxy

KEY = "a-client-key"
BEARER = {"authorization": f"Bearer {KEY}"}
HOST = "127.0.0.1:8080"  # the Host header that tests/addons/proxy.py sends
FORM = {"content_type": "application/x-www-form-urlencoded"}


@asynccontextmanager
async def dashboard_relay(**options: str) -> AsyncIterator[tuple[Dashboard, int]]:
    dashboard = Dashboard(AccountTable())
    first_addons = [Config(), Transport(), Ingress(), Endpoints(), Translator()]
    chain = [*first_addons, dashboard, UsageCounter(), DemoProvider()]
    async with proxy(*chain, **{"relay_store": "off", **options}) as (_, port):
        while not dashboard.inner_port:  # the proxy listens before all addons run
            await asyncio.sleep(0.001)
        yield dashboard, port


async def get_page(client: Client, target: str, **headers: str) -> Answer:
    client.answer.body = b""
    client.send(target, b"", method="GET", **headers)
    await client.head()
    await client.rest()
    return client.answer


async def post_token(client: Client, **headers: str) -> str:
    value: str = json.loads((await get_page(client, "/relay/token", **headers)).body)["token"]
    return value


async def snapshot_of(client: Client, **headers: str) -> dict[str, Any]:
    answer = await get_page(client, "/relay/data", **headers)
    assert answer.status == 200, answer.body
    value: dict[str, Any] = json.loads(answer.body)
    return value


class EventReader:
    """Reads the events of /relay/events."""

    def __init__(self, client: Client) -> None:
        self.client, self.text = client, ""

    async def open(self, **headers: str) -> "EventReader":
        self.client.send("/relay/events", b"", method="GET", **headers)
        head = await self.client.head()
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
        return self

    async def next_named(self, name: str) -> Any:
        """The value of the next event of this name; other events are skipped."""
        while True:
            event_name, value = await self.next_event()
            if event_name == name:
                return value

    async def next_event(self) -> tuple[str, Any]:
        """The next event's name and value."""
        while "\n\n" not in self.text:
            piece = await self.client.chunk()
            assert piece, "the stream has ended"
            self.text += piece.decode()
        event, self.text = self.text.split("\n\n", 1)
        fields = dict(row.split(": ", 1) for row in event.split("\n"))
        return fields["event"], json.loads(fields["data"])
