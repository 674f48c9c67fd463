"""Chat clients: the same exchange, the other dialect."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from addons.demo_provider import Demo
from tests.addons.chain import chain_of
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
    *handlers: Any, more: Sequence[Any] = (), **options: str
) -> AsyncIterator[tuple[int, Upstream]]:
    chain = chain_of(Demo())
    chain += more
    async with upstream(*handlers) as above:
        url = f"http://127.0.0.1:{above.port}/v1"
        async with proxy(*chain, relay_upstream=url, relay_api_key="k", **options) as (_, port):
            yield port, above


async def ask(
    port: int, path: str = PATH, authorization: str = "", origin: str = "", **fields: Any
) -> Answer:
    said = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    headers = {"authorization": authorization} if authorization else {}
    headers |= {"origin": origin} if origin else {}
    async with Client.connect(port) as client:
        return await client.ask(path, json.dumps(said).encode(), **headers)


@bounded
async def test_stream_of_chunks() -> None:
    async with relay(HELLO) as (port, above):
        answer = await ask(port, stream=True, temperature=0.5, top_k=4)
    assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["x-relay-provider"] == "generic"
    chunks = [chunk for chunk in chunks_of(answer.body) if "choices" in chunk]
    told = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert "".join(filter(None, told)) == "Hello" and answer.body.endswith(b"data: [DONE]\n\n")
    [call] = above.seen
    assert call.line.startswith("POST /v1/chat/completions")
    body = json.loads(call.body)
    assert (body["temperature"], body["top_k"], body["stream"]) == (0.5, 4, True)


@bounded
async def test_answer_in_one_piece() -> None:
    async with relay(HELLO) as (port, _):
        answer = await ask(port, path="/chat/completions")
    [choice] = json.loads(answer.body)["choices"]
    assert choice["message"]["content"] == "Hello" and choice["finish_reason"] == "stop"


@bounded
async def test_what_did_not_cross_is_told() -> None:
    async with relay(HELLO) as (port, _):
        answer = await ask(port, user="me", stream=True)
    assert answer.headers["x-relay-dropped"] == "user"


@bounded
async def test_faults_are_told_in_the_clients_words() -> None:
    async with relay(HELLO) as (port, above):
        several = await ask(port, n=2)
        nobody = await ask(port, messages=[{"role": "nobody", "content": ""}])
    assert (several.status, nobody.status, above.seen) == (400, 400, [])
    assert json.loads(several.body)["error"]["param"] == "n"
    assert json.loads(nobody.body)["error"]["param"] == "messages[0].role"


@bounded
async def test_upstreams_error_is_openais() -> None:
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
async def test_one_model() -> None:
    def lists(call: Call) -> None:
        call.reply(200, b'{"data": [{"id": "maker/m-1"}]}')

    async with relay(lists) as (port, _):
        found, plain = await look(port, "maker%2Fm-1"), await look(port, "maker/m-1")
        missing = await look(port, "other")
    assert json.loads(found.body) == json.loads(plain.body)
    assert json.loads(found.body)["id"] == "maker/m-1"
    assert missing.status == 404
    assert json.loads(missing.body)["error"]["code"] == "model_not_found"


async def look(port: int, model: str) -> Answer:
    async with Client.connect(port) as client:
        client.send(f"/v1/models/{model}", b"", method="GET")
        await client.head()
        await client.rest()
        return client.answer
