"""The demonstration provider as the official SDK sees it, over real sockets."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest

from addons.demo_provider import DemoProvider, demo_url, reply_deltas

SHELL = {
    "type": "function",
    "function": {
        "name": "exec_command",
        "parameters": {
            "type": "object",
            "properties": {
                "cmd": {"type": "string"},
                "timeout": {"type": "integer"},
                "mode": {"enum": ["fast", "slow"]},
                "env": {"type": ["object", "null"]},
            },
            "required": ["cmd", "timeout", "mode", "env"],
        },
    },
}
LOOK = {"type": "function", "function": {"name": "look"}}


def ask_demo(question: Callable[[openai.AsyncOpenAI], Awaitable[Any]]) -> Any:
    """The result of the question to a demonstration provider, which runs as long as it."""

    async def ask() -> Any:
        addon = DemoProvider()
        addon.running()
        try:
            client = openai.AsyncOpenAI(base_url=demo_url(), api_key="any", max_retries=0)
            async with client:
                return await question(client)
        finally:
            addon.done()

    return asyncio.run(ask())


def stream_reply(
    prompt: str, *later: dict[str, Any], tools: list[Any] | None = None
) -> dict[str, Any]:
    """The content of a streamed reply, put together from its chunks."""
    messages: Any = [{"role": "user", "content": prompt}, *later]

    async def question(client: openai.AsyncOpenAI) -> list[Any]:
        stream = await client.chat.completions.create(
            model="demo",
            messages=messages,
            tools=tools or openai.omit,
            stream=True,
            stream_options={"include_usage": True},
        )
        return [chunk.to_dict() async for chunk in stream]

    *chunks, last, usage = ask_demo(question)
    assert usage["choices"] == []
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    return {
        "thought": "".join(delta.get("reasoning_content", "") for delta in deltas),
        "text": "".join(delta.get("content", "") for delta in deltas),
        "calls": [call["function"] for delta in deltas for call in delta.get("tool_calls", [])],
        "finish": last["choices"][0]["finish_reason"],
        "usage": usage["usage"],
        "chunks": len(chunks),
    }


def test_welcome_says_what_this_is_and_how_to_use_a_real_provider() -> None:
    reply = stream_reply("Hello!")
    assert "demonstration" in reply["text"] and "mitmcodex setup" in reply["text"]
    assert "CODEX_RELAY_UPSTREAM" in reply["text"]
    assert "CODEX_RELAY_API_KEY" in reply["text"]
    assert reply["thought"]
    assert reply["finish"] == "stop"
    assert reply["chunks"] > 20
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 20


def test_reply_calls_each_tool_that_the_prompt_names() -> None:
    prompt = 'Please call exec_command {"cmd": "echo {hi}"} and call look, then call nobody.'
    reply = stream_reply(prompt, tools=[SHELL, LOOK])
    names = [call["name"] for call in reply["calls"]]
    assert names == ["exec_command", "look"]
    assert json.loads(reply["calls"][0]["arguments"]) == {"cmd": "echo {hi}"}
    assert json.loads(reply["calls"][1]["arguments"]) == {}
    assert reply["finish"] == "tool_calls"


def test_call_without_arguments_gets_the_least_that_the_schema_requires() -> None:
    [call] = stream_reply("call exec_command", tools=[SHELL])["calls"]
    assert json.loads(call["arguments"]) == {"cmd": "", "timeout": 0, "mode": "fast", "env": {}}


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"properties": "x", "required": ["a"]}, {"a": ""}),
        ({"properties": {"a": "x"}, "required": ["a", 5]}, {"a": ""}),
        ({"properties": {"a": {"enum": "x", "type": [5]}}, "required": ["a"]}, {"a": ""}),
        ({"properties": [], "required": "a"}, {}),
    ],
)
def test_schema_that_is_none_gets_a_call_all_the_same(parameters: Any, arguments: Any) -> None:
    tool = {"type": "function", "function": {"name": "odd", "parameters": parameters}}
    [call] = stream_reply("call odd", tools=[tool])["calls"]
    assert json.loads(call["arguments"]) == arguments


def test_reply_reports_the_output_of_the_tools_and_ends() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    content = [{"type": "text", "text": "a cat"}, {"type": "image_url"}]
    reply = stream_reply(
        "call look",
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": content},
        tools=[LOOK],
    )
    assert "a cat[image_url]" in reply["text"]
    assert reply["calls"] == []
    assert reply["finish"] == "stop"


def test_request_without_stream_gets_one_body() -> None:
    async def question(client: openai.AsyncOpenAI) -> Any:
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "call look"}]}]
        tools: Any = [LOOK]
        return await client.chat.completions.create(model="m", messages=messages, tools=tools)

    reply = ask_demo(question)
    assert reply.model == "m"
    assert reply.choices[0].message.content == "On it."
    assert reply.choices[0].message.tool_calls[0].function.name == "look"
    assert reply.usage.prompt_tokens_details.cached_tokens == 0


def test_list_has_one_model() -> None:
    async def question(client: openai.AsyncOpenAI) -> Any:
        return (await client.models.list()).data

    assert [model.id for model in ask_demo(question)] == ["demo"]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"{", "body"),
        (b"[]", "messages"),
        (b'{"messages": {}}', "messages"),
        (b'{"messages": [1]}', "messages[0]"),
        (b'{"messages": [{"role": "developer"}]}', "messages[0].role"),
        (b'{"messages": [], "tools": [{"type": "custom"}]}', "tools[0]"),
    ],
)
def test_bad_request_is_refused_with_the_path_of_its_fault(body: bytes, path: str) -> None:
    async def question(client: openai.AsyncOpenAI) -> Any:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.post("/chat/completions", content=body, cast_to=object)
        return caught.value.body

    error = ask_demo(question)
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(path)


def test_unknown_path_is_an_error_in_openais_form() -> None:
    async def question(client: openai.AsyncOpenAI) -> Any:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.get("/nothing", cast_to=object)
        return caught.value.body

    assert "/v1/models" in ask_demo(question)["message"]


def test_client_that_leaves_is_not_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def question(client: openai.AsyncOpenAI) -> None:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        async for _ in stream:
            break
        await stream.close()
        await asyncio.sleep(0.05)

    ask_demo(question)
    assert caplog.records == []


def test_url_is_known_only_while_the_provider_runs() -> None:
    addon = DemoProvider()
    addon.done()
    with pytest.raises(RuntimeError):
        demo_url()


def test_call_is_written_as_a_script_where_a_script_calls_the_tools() -> None:
    """Codex gives its newest models one tool, which runs JavaScript."""
    script = {"type": "function", "function": {"name": "functions__exec"}}
    prompt = {"role": "user", "content": 'Please call exec_command {"cmd": "ls"} now.'}
    *_, last = reply_deltas([prompt], [script])
    [call] = last["tool_calls"]
    assert call["function"]["name"] == "functions__exec"
    script_text = json.loads(call["function"]["arguments"])["input"]
    assert script_text == 'text(await tools.exec_command({"cmd": "ls"}));'
