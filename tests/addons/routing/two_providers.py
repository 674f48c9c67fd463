"""Two providers, "one" and "two", behind one relay; "two" also has a port of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from addons.demo_provider import DemoProvider
from addons.launch import available_port
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Answer, Call, Client, Upstream, proxy, upstream
from tests.translate.support import chunk, stream

KEYS = {"ONE_KEY": "key-1", "TWO_KEY": "key-2"}
BOTH_MODELS = '[model_map]\nboth = ["one/big", "two/small"]\n'
PROVIDER_TABLES = """\
[providers.one]
base_urls = ["http://127.0.0.1:{one}/v1"]
key_env = ["ONE_KEY"]
[providers.two]
base_urls = ["http://127.0.0.1:{two}/v1"]
key_env = ["TWO_KEY"]
model = "two-default"
"""


def serve_models(*models: str, status: int = 200) -> Any:
    """A provider that lists these models and answers with this status."""

    def handler(call: Call) -> None:
        if call.request_line.startswith("GET"):
            data = [{"id": name, "context_length": 5000} for name in models]
            call.reply(200, json.dumps({"data": data}).encode())
        elif status != 200:
            call.reply(status, b'{"error":{"message":"no"}}')
        else:
            call.stream(stream(chunk(content="Hi."), chunk("stop")))
            call.end()

    return handler


@dataclass
class TwoProviderRelay:
    port: int
    second_port: int  # the port of "two" alone
    first: Upstream
    second: Upstream

    def requests(self) -> list[tuple[str, str, str | None]]:
        """Provider, model and key of each model request."""
        return [
            (name, json.loads(call.body)["model"], call.headers.get("authorization"))
            for name, server in (("one", self.first), ("two", self.second))
            for call in server.seen
            if call.request_line.startswith("POST")
        ]

    async def ask(self, model: str, port: int = 0, **options: Any) -> Answer:
        body = {"model": model, "input": "Hello.", **options.pop("body", {})}
        async with Client.connect(port or self.port) as client:
            return await client.ask("/v1/responses", json.dumps(body).encode(), **options)

    async def models(self, port: int = 0, query: str = "") -> Any:
        async with Client.connect(port or self.port) as client:
            return json.loads((await client.ask(f"/v1/models{query}", b"", method="GET")).body)


@asynccontextmanager
async def two_provider_relay(
    tmp_path: Path, config: str = "", first: Any = None, second: Any = None, **options: str
) -> AsyncIterator[TwoProviderRelay]:
    """`config`: more lines for relay.toml; `first`, `second`: handlers of the providers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, key in KEYS.items():
            patch.setenv(name, key)
        async with (
            upstream(first or serve_models("big", "shared", "two/odd")) as first_server,
            upstream(second or serve_models("small", "shared", "path/model")) as second_server,
        ):
            file, second_port = tmp_path / "relay.toml", available_port(0)
            tables = PROVIDER_TABLES.format(one=first_server.port, two=second_server.port)
            file.write_text(f"{config}\n{tables}")
            all_options = {
                "relay_provider": "one",
                "relay_config": str(file),
                "relay_ports": f"two:{second_port}",
                **options,
            }
            async with proxy(*exchange_addons(DemoProvider()), **all_options) as (master, port):
                server: Any = master.addons.get("proxyserver")
                while second_port not in {address[1] for address in server.listen_addrs()}:
                    await asyncio.sleep(0.005)
                yield TwoProviderRelay(port, second_port, first_server, second_server)
