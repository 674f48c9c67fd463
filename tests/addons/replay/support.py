"""A relay with the commands, and requests to it, for the tests of replay."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mitmproxy import ctx
from mitmproxy.addons.view import View
from mitmproxy.http import HTTPFlow

from addons.config.addon import Config
from addons.demo_provider import DemoProvider
from addons.endpoints.addon import Endpoints
from addons.exchange.addon import Translator
from addons.ingress.addon import Ingress
from addons.observe.flow_pair import FlowPairIndex
from addons.replay.commands import Replay
from addons.storage.response_store import ResponseStore
from addons.transport.addon import Transport
from tests.addons.exchange.test_addon import HELLO
from tests.addons.proxy import Answer, Call, Client, Handler, Upstream, proxy, upstream

WHOLE_REPLY = {
    "choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]
}


class EndedFlows:
    """An addon that records the clients' flows as they end, in their order."""

    def __init__(self) -> None:
        self.flows: list[HTTPFlow] = []
        self._has_grown = asyncio.Condition()

    async def response(self, flow: HTTPFlow) -> None:
        async with self._has_grown:
            self.flows.append(flow)
            self._has_grown.notify_all()

    error = response

    async def wait_for(self, number: int) -> HTTPFlow:
        """The flow with this number, counted from 1, when mitmproxy has finished with it."""
        async with self._has_grown:
            await self._has_grown.wait_for(lambda: len(self.flows) >= number)
        flow = self.flows[number - 1]
        while flow.live or ctx.master.commands.call("replay.client.count"):
            await asyncio.sleep(0)
        return flow


def replay_addons(*extra_addons: Any) -> list[Any]:
    """The addons of relay.py that these tests need, and the extra ones behind them."""
    chain = [Config(), Transport(), Replay(), Ingress(), FlowPairIndex(), ResponseStore()]
    return [*chain, Endpoints(), Translator(), DemoProvider(), *extra_addons]


@asynccontextmanager
async def relay_with_commands(
    *handlers: Handler, **options: Any
) -> AsyncIterator[tuple[Upstream, int, EndedFlows, Any]]:
    """The relay before this upstream: its port, the clients' flows, and its commands."""
    ended_flows = EndedFlows()
    async with upstream(*handlers) as server:
        options.setdefault("relay_upstream", f"http://127.0.0.1:{server.port}/v1")
        addons = replay_addons(View(), ended_flows)
        async with proxy(*addons, relay_store="off", **options) as (master, port):
            yield server, port, ended_flows, master.commands.call


async def send_request(port: int, key: str = "sk-mine", **fields: Any) -> Answer:
    """A Responses request, or a Chat request if there are messages."""
    is_chat = "messages" in fields
    defaults: dict[str, Any] = {"model": "gpt-5.5", "stream": True} if is_chat else HELLO
    path = "/v1/chat/completions" if is_chat else "/v1/responses"
    async with Client.connect(port) as client:
        body = json.dumps({**defaults, **fields}).encode()
        return await client.ask(path, body, authorization=f"Bearer {key}")


async def record_exchange(port: int, ended_flows: EndedFlows, **fields: Any) -> HTTPFlow:
    """The client's flow of one exchange."""
    await send_request(port, **fields)
    return await ended_flows.wait_for(len(ended_flows.flows) or 1)


def reply_in_json(call: Call) -> None:
    call.reply(200, json.dumps(WHOLE_REPLY).encode(), content_type="application/json")
