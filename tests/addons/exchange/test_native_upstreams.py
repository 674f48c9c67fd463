"""The whole relay before an upstream that speaks /responses itself."""

import json
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.addons.exchange.test_addon import ask, ask_once, refuses, relay
from tests.addons.proxy import Call, Client, bounded
from tests.fake_provider import running_provider
from tests.replies import call, say, think
from tests.translate.support import lawful_events
from translate.state.compaction import SUMMARY_PROMPT

NATIVE = {"relay_provider": "responses"}
DONE = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}


def stream_events(*events: dict[str, Any]) -> Any:
    def handler(call: Call) -> None:
        call.stream(*(f"data: {json.dumps(event)}\n\n".encode() for event in events))
        call.end()

    return handler


def completed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"status": "completed", "output": items}}


@bounded
async def test_request_goes_to_responses_under_its_own_name() -> None:
    async with relay(stream_events(completed(DONE)), **NATIVE) as (above, port):
        answer = await ask_once(port, client_metadata={"a": "b"})
    assert lawful_events(answer.body)[-1]["response"]["output"][0]["content"][0]["text"] == "Hi."
    assert answer.headers["x-relay-provider"] == "responses"
    [call] = above.seen
    assert call.request_line.startswith("POST /v1/responses ")
    message = {"type": "message", "role": "user", "content": "Hello."}
    assert json.loads(call.body) == {
        "model": "gpt-5.5", "input": [message], "store": False, "stream": True,
    }  # fmt: skip


@bounded
async def test_models_of_one_provider_may_speak_another_dialect() -> None:
    async with relay(stream_events(completed(DONE)), relay_provider="azure") as (above, port):
        await ask_once(port, model="gpt-5.6")
    assert above.seen[0].request_line.startswith("POST /v1/responses ")


@bounded
async def test_compaction_asks_the_model_there() -> None:
    async with (
        relay(refuses(404), stream_events(completed(DONE)), **NATIVE) as (above, port),
        Client.connect(port) as client,
    ):
        answer = await ask(client, "/v1/responses/compact", input="Look.")
    assert [item["type"] for item in json.loads(answer.body)["output"]] == ["message", "compaction"]
    assert json.loads(above.seen[-1].body)["input"][-1]["content"] == SUMMARY_PROMPT


@bounded
async def test_stream_that_ends_early_has_failed() -> None:
    added = {"type": "response.output_text.delta", "delta": "Hel"}
    async with relay(stream_events(added), **NATIVE) as (_, port):
        answer = await ask_once(port)
    assert lawful_events(answer.body)[-1]["type"] == "response.failed"


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_official_sdk_before_a_strict_server(stream: bool) -> None:
    tool: Any = {"type": "custom", "name": "apply_patch", "description": "Edits."}
    with running_provider() as fake:
        fake.reply(think("Hm."), say("I edit."), call("apply_patch", input="a\nb"), stream=stream)
        chosen = {**NATIVE, "relay_upstream": fake.url, "relay_api_key": fake.key}
        async with (
            relay(**chosen) as (_, port),
            AsyncOpenAI(
                base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0
            ) as client,
        ):
            reply = await client.responses.create(model="m", input="Edit.", tools=[tool])
    assert [item.type for item in reply.output] == ["reasoning", "message", "custom_tool_call"]
    assert reply.output_text == "I edit."
    last: Any = reply.output[-1]
    assert last.input == "a\nb"
