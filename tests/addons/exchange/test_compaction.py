"""Compaction through the whole relay: its paths, the official SDK, the window of the model."""

import asyncio
import json
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, InternalServerError

from tests.addons.exchange.test_addon import ask, error_of, refuses, relay, says
from tests.addons.proxy import Call, Client, Upstream, bounded
from tests.translate.support import chunk, lawful_events
from tests.translate.support import stream as chat
from translate.state.compaction import SUMMARY_HEADER, SUMMARY_PROMPT

TRIGGER = {"type": "compaction_trigger"}
NO_LIST = refuses(404)  # before a compaction the model's window is looked up
LOOK: list[Any] = [
    {"type": "message", "role": "user", "content": "Look."},
    {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "seen"},
]


def posts(above: Upstream) -> list[Call]:
    """The requests for the model; others are for the list of models."""
    return [
        call for call in above.seen if call.request_line.startswith("POST /v1/chat/completions ")
    ]


def sent_body(call: Call) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(call.body)
    return body


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("localhost", "/v1/responses/compact"),
        ("localhost", "/responses/compact"),
        ("localhost", "/backend-api/codex/responses/compact"),
        ("api.openai.com", "/v1/responses/compact"),
        ("chatgpt.com", "/backend-api/codex/responses/compact"),
    ],
)
@bounded
async def test_compact_is_answered_at_each_of_its_addresses(host: str, path: str) -> None:
    tunnel = "" if host == "localhost" else host
    async with (
        relay(NO_LIST, says("The gist.")) as (above, port),
        Client.connect(port, tunnel=tunnel) as client,
    ):
        answer = await ask(client, path, host, input=LOOK)
    assert answer.status == 200
    assert answer.headers["x-relay-provider"] == "generic"
    assert [item["type"] for item in json.loads(answer.body)["output"]] == ["message", "compaction"]
    [call] = posts(above)
    assert sent_body(call)["messages"][-1]["content"] == SUMMARY_PROMPT


def sdk(port: int) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0)


# The SDK's output types lack the user's message that OpenAI's own replies have here.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@bounded
async def test_official_sdk_compacts_and_goes_on() -> None:
    async with (
        relay(NO_LIST, says("The gist."), says("Going on.")) as (above, port),
        sdk(port) as client,
    ):
        compacted = await client.responses.compact(
            model="gpt-5.5", input=LOOK, instructions="Be brief."
        )
        output: list[Any] = list(compacted.output)
        following = {"type": "message", "role": "user", "content": "Go on."}
        reply = await client.responses.create(model="gpt-5.5", input=[*output, following])
    assert compacted.object == "response.compaction"
    assert compacted.id.startswith("resp_")
    assert reply.output_text == "Going on."
    assert [message["content"] for message in sent_body(posts(above)[1])["messages"]] == [
        "Look.", f"{SUMMARY_HEADER}\n\nThe gist.", "Go on.",
    ]  # fmt: skip


@bounded
async def test_official_sdk_raises_for_failures() -> None:
    async with relay(NO_LIST, says("")) as (_, port), sdk(port) as client:
        with pytest.raises(InternalServerError, match="empty reply"):
            await client.responses.compact(model="gpt-5.5", input="Hello.")
        with pytest.raises(BadRequestError, match="holds nothing"):
            await client.responses.compact(model="gpt-5.5")
        with pytest.raises(BadRequestError, match="not found"):
            await client.responses.compact(model="gpt-5.5", previous_response_id="resp_0")


@bounded
async def test_heartbeats_are_sent_while_the_model_summarises() -> None:
    async def handler(call: Call) -> None:
        call.stream(chat(chunk(content="The "), done=False))
        while beats < 3:
            await seen.wait()
            seen.clear()
        call.chunks(chat(chunk("stop", content="gist.")))
        call.end()

    seen, beats = asyncio.Event(), 0
    async with (
        relay(NO_LIST, handler, relay_heartbeat="0.05") as (_, port),
        Client.connect(port) as client,
    ):
        body = {"model": "m", "input": [*LOOK, TRIGGER], "stream": True}
        client.send("/v1/responses", json.dumps(body).encode(), host="localhost")
        await client.head()
        wire = b""
        while data := await client.chunk():
            wire += data
            beats = wire.count(b"event: response.in_progress")
            seen.set()
    events = lawful_events(wire)
    assert events[-1]["type"] == "response.completed"
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["compaction"]


@pytest.mark.parametrize(("context", "cut"), [(None, False), (2_000, True), (200_000, False)])
@bounded
async def test_context_window_is_that_of_the_models_list(context: int | None, cut: bool) -> None:
    def handler(call: Call) -> None:
        if call.request_line.startswith("GET"):
            models = [{"id": "other", "context_length": 5}, {"id": "m", "context_length": context}]
            call.reply(200, json.dumps({"data": models}).encode(), content_type="application/json")
        else:
            says("The gist.")(call)

    async with relay(handler) as (above, port), Client.connect(port) as client:
        long = [{"role": "user", "content": "word " * 2_000}, *LOOK, TRIGGER]
        answer = await ask(client, model="m", input=long)
    assert lawful_events(answer.body)[-1]["type"] == "response.completed"
    assert ("not shown" in sent_body(posts(above)[-1])["messages"][0]["content"]) is cut
    assert answer.headers.get("x-relay-dropped") == (
        "input (the 1 oldest messages)" if cut else None
    )


@bounded
async def test_trigger_in_the_middle_is_refused() -> None:
    async with relay() as (_, port), Client.connect(port) as client:
        answer = await ask(client, input=[TRIGGER, *LOOK])
    assert answer.status == 400
    assert error_of(answer)["param"] == "input[0]"
