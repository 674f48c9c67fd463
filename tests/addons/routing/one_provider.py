"""One provider behind the relay, with its requests sorted into chats and model lists."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from addons.demo_provider import DemoProvider
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Answer, Call, Client, proxy, upstream
from tests.translate.support import chunk, stream

HELLO = json.dumps({"model": "gpt-5.5", "input": "Hello."}).encode()


@dataclass
class OneProviderRelay:
    port: int = 0
    chats: list[Call] = field(default_factory=list)
    lists: list[Call] = field(default_factory=list)


@asynccontextmanager
async def one_provider_relay(
    models: bytes | None = None, **options: Any
) -> AsyncIterator[OneProviderRelay]:
    """`models`: the body of the model list; None: the provider has no list."""
    relay = OneProviderRelay()

    def handler(call: Call) -> None:
        if call.request_line.startswith("POST /v1/chat/completions"):
            relay.chats.append(call)
            call.stream(stream(chunk(content="Hi."), chunk("stop")))
            call.end()
        else:
            relay.lists.append(call)
            call.reply(404 if models is None else 200, models or b"")

    async with upstream(handler) as server:
        all_options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", **options}
        async with proxy(*exchange_addons(DemoProvider()), **all_options) as (_, port):
            relay.port = port
            yield relay


async def send_request(port: int, tunnel: str = "", body: bytes = HELLO, **headers: str) -> Answer:
    """The answer to a request to our port, or through it to one of OpenAI's hosts."""
    path = "/backend-api/codex/responses" if tunnel == "chatgpt.com" else "/v1/responses"
    async with Client.connect(port, tunnel=tunnel) as client:
        return await client.ask(path, body, host=tunnel or "localhost", **headers)
