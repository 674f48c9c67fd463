"""A client of the relay for requests to its endpoints, and upstreams that list models."""

import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from addons.demo_provider import DemoProvider
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Answer, Call, Client, Handler, proxy, upstream

CODEX_CLIENT = {"user_agent": "codex_exec/0.169.0"}
LIST = b'{"data": [{"id": "a", "context_length": 1000}, {"id": "b"}, {"id": "tts-1"}]}'


@asynccontextmanager
async def relay_client(
    *handlers: Handler, **settings: Any
) -> AsyncIterator[tuple[Client, list[Call]]]:
    """A client of the relay, and what reaches its upstream."""
    chain = exchange_addons(DemoProvider())
    async with upstream(*handlers) as server:
        options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", **settings}
        async with proxy(*chain, **options) as (_, port), Client.connect(port) as client:
            yield client, server.seen


async def get_path(client: Client, target: str, method: str = "GET", **headers: str) -> Answer:
    client.send(target, b"", method=method, **headers)
    await client.head()
    if method != "HEAD":
        await client.rest()
    return Answer(client.answer.status, client.answer.headers, client.answer.body)


def model_ids(answer: Answer) -> list[str]:
    assert answer.status == 200
    return [model["id"] for model in json.loads(answer.body)["data"]]


def catalog_slugs(answer: Answer) -> list[str]:
    assert answer.status == 200
    return [model["slug"] for model in json.loads(answer.body)["models"]]


def answer_with_list(body: bytes = LIST, status: int = 200) -> Handler:
    def handler(call: Call) -> None:
        call.reply(status, body, content_type="application/json")

    return handler


def install_program(folder: Path, *command: str | Path) -> None:
    """Put a `codex` into this folder that runs this shell command; paths in it are quoted."""
    program = folder / "codex"
    words = [shlex.quote(str(word)) if isinstance(word, Path) else word for word in command]
    program.write_text("#!/bin/sh\n" + " ".join(words))
    program.chmod(0o755)
