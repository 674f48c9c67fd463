"""Chat clients before the whole relay: the same exchange in the other dialect."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from addons.demo_provider import DemoProvider
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Answer, Call, Client, Upstream, bounded, proxy, upstream
from tests.translate.support import Json, chunk, chunks_of
from tests.translate.support import stream as chat

PATH = "/v1/chat/completions"


def says(*chunks: Json) -> Any:
    def handler(call: Call) -> None:
        call.stream(chat(*chunks))
        call.end()

    return handler


HELLO = says(chunk(role="assistant", content="Hel"), chunk(content="lo"), chunk("stop"))


@asynccontextmanager
async def relay(
    *handlers: Any, extra_addons: Sequence[Any] = (), **options: str
) -> AsyncIterator[tuple[int, Upstream]]:
    chain = exchange_addons(DemoProvider())
    chain += extra_addons
    async with upstream(*handlers) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url, relay_api_key="k", **options) as (_, port):
            yield port, above


async def ask(
    port: int, path: str = PATH, authorization: str = "", origin: str = "", **fields: Any
) -> Answer:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    headers = {"authorization": authorization} if authorization else {}
    headers |= {"origin": origin} if origin else {}
    async with Client.connect(port) as client:
        return await client.ask(path, json.dumps(body).encode(), **headers)


@bounded
async def test_stream_of_chunks() -> None:
    async with relay(HELLO) as (port, above):
        answer = await ask(port, stream=True, temperature=0.5, top_k=4)
    assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-relay-provider"] == "generic"
    chunks = [chunk for chunk in chunks_of(answer.body) if "choices" in chunk]
    texts = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert "".join(filter(None, texts)) == "Hello" and answer.body.endswith(b"data: [DONE]\n\n")
    [call] = above.seen
    assert call.request_line.startswith("POST /v1/chat/completions")
    body = json.loads(call.body)
    assert (body["temperature"], body["top_k"], body["stream"]) == (0.5, 4, True)


@bounded
async def test_request_without_stream_gets_one_body() -> None:
    async with relay(HELLO) as (port, _):
        answer = await ask(port, path="/chat/completions")
    [choice] = json.loads(answer.body)["choices"]
    assert choice["message"]["content"] == "Hello" and choice["finish_reason"] == "stop"


@bounded
async def test_dropped_header_names_what_was_dropped() -> None:
    async with relay(HELLO) as (port, _):
        answer = await ask(port, user="me", stream=True)
    assert answer.headers["x-relay-dropped"] == "user"


@bounded
async def test_bad_request_is_refused_with_the_path_in_the_clients_request() -> None:
    async with relay(HELLO) as (port, above):
        several = await ask(port, n=2)
        odd_role = await ask(port, messages=[{"role": "nobody", "content": ""}])
    assert (several.status, odd_role.status, above.seen) == (400, 400, [])
    assert json.loads(several.body)["error"]["param"] == "n"
    assert json.loads(odd_role.body)["error"]["param"] == "messages[0].role"


@bounded
async def test_upstreams_error_has_openais_form() -> None:
    def refuses(call: Call) -> None:
        call.reply(429, b'{"error": {"message": "slow"}}')

    async with relay(refuses, relay_retries="0") as (port, _):
        answer = await ask(port, stream=True)
    assert answer.status == 429
    assert json.loads(answer.body)["error"]["type"] == "rate_limit_error"


@bounded
async def test_silence_is_filled_with_comments() -> None:
    async def late(call: Call) -> None:
        await asyncio.sleep(0.3)
        HELLO(call)

    async with relay(late, relay_heartbeat="0.1") as (port, _):
        answer = await ask(port, stream=True)
    assert answer.body.startswith(b":") and b"Hel" in answer.body


@bounded
async def test_single_model_is_looked_up() -> None:
    def lists(call: Call) -> None:
        call.reply(200, b'{"data": [{"id": "maker/m-1"}]}')

    async with relay(lists) as (port, _):
        escaped, unescaped = (
            await look_up_model(port, "maker%2Fm-1"),
            await look_up_model(port, "maker/m-1"),
        )
        unknown = await look_up_model(port, "other")
    assert json.loads(escaped.body) == json.loads(unescaped.body)
    assert json.loads(escaped.body)["id"] == "maker/m-1"
    assert unknown.status == 404
    assert json.loads(unknown.body)["error"]["code"] == "model_not_found"


async def look_up_model(port: int, model: str) -> Answer:
    async with Client.connect(port) as client:
        client.send(f"/v1/models/{model}", b"", method="GET")
        await client.head()
        await client.rest()
        return client.answer
