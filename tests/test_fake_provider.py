"""The fake provider itself: the requests that it refuses, and replies that the SDK can read."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.fake_provider import FakeProvider
from tests.replies import KIMI, OPENAI, Part, call, error, say, think
from tests.strict_chat import Rules, body_fault, header_fault

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "ls", "parameters": {"type": "object"}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
PROMPT = {"role": "user", "content": "hi"}
CALL_MESSAGE = {"role": "assistant", "content": None, "tool_calls": [CALL]}
OUTPUT_MESSAGE = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
GOOD: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "system", "content": "be"}, PROMPT, CALL_MESSAGE, OUTPUT_MESSAGE],
    "tools": [TOOL],
    "tool_choice": "auto",
    "stream": True,
    "stream_options": {"include_usage": True},
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def with_messages(*messages: Any) -> dict[str, Any]:
    return {"messages": [PROMPT, *messages]}


def with_call(**change: Any) -> dict[str, Any]:
    return with_messages({**CALL_MESSAGE, "tool_calls": [{**CALL, **change}]}, OUTPUT_MESSAGE)


def with_tool(**change: Any) -> dict[str, Any]:
    return {"tools": [{**TOOL, "function": {**TOOL["function"], **change}}]}


BAD = [
    ({"store": False}, "store"),
    ({"model": ""}, "model"),
    ({"messages": []}, "messages"),
    ({"temperature": "1"}, "temperature"),
    ({"stream": False}, "stream_options"),
    ({"stream_options": {}}, "stream_options.include_usage"),
    ({"tools": []}, "tools"),
    ({"tools": [TOOL, TOOL]}, "tools[1].function.name"),
    ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0].type"),
    (with_tool(name="a.b"), "tools[0].function.name"),
    (with_tool(name="x" * 65), "tools[0].function.name"),
    (with_tool(parameters={"type": "array"}), "tools[0].function.parameters"),
    (with_tool(defer_loading=True), "tools[0].function.defer_loading"),
    ({"tool_choice": {"type": "function", "function": {"name": "rm"}}}, "tool_choice"),
    ({"tool_choice": "any"}, "tool_choice"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    (with_messages({"role": "developer", "content": "x"}), "messages[1].role"),
    (with_messages({"role": "user", "content": "x", "id": "y"}), "messages[1].id"),
    (with_messages({"role": "user", "content": ""}), "messages[1].content"),
    (with_messages({"role": "assistant", "content": None}), "messages[1].content"),
    (
        with_messages({"role": "user", "content": [{"type": "input_text", "text": "x"}]}),
        "messages[1]",
    ),
    (
        with_messages({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}),
        "messages[1]",
    ),
    (with_messages({"role": "assistant", "content": [IMAGE]}), "messages[1].content[0]"),
    (with_messages(CALL_MESSAGE, {**OUTPUT_MESSAGE, "content": [IMAGE]}), "messages[2].content[0]"),
    (with_messages(OUTPUT_MESSAGE), "messages[1].tool_call_id"),
    (with_messages(CALL_MESSAGE), "messages: tool calls"),
    (with_messages(CALL_MESSAGE, PROMPT, OUTPUT_MESSAGE), "messages[2]"),
    (with_messages(CALL_MESSAGE, OUTPUT_MESSAGE, OUTPUT_MESSAGE), "messages[3].tool_call_id"),
    (
        with_messages(CALL_MESSAGE, OUTPUT_MESSAGE, CALL_MESSAGE, OUTPUT_MESSAGE),
        "messages[3].tool_calls[0].id",
    ),
    (with_call(id=""), "messages[1].tool_calls[0]"),
    (with_call(function={"name": "ls", "arguments": {}}), "messages[1].tool_calls[0].function"),
    (with_call(function={"name": "ls", "arguments": "{"}), "messages[1].tool_calls[0].function"),
    (with_call(index=0), "messages[1].tool_calls[0].index"),
]


def test_good_request_is_accepted() -> None:
    picture = {"role": "user", "content": [{"type": "text", "text": "what?"}, IMAGE]}
    assert body_fault(GOOD, Rules()) is None
    assert body_fault(GOOD | with_messages(CALL_MESSAGE, OUTPUT_MESSAGE, picture), Rules()) is None


@pytest.mark.parametrize(("change", "path"), BAD, ids=[path for _, path in BAD])
def test_faulty_request_is_refused_with_the_path_of_the_fault(
    change: dict[str, Any], path: str
) -> None:
    assert str(body_fault(GOOD | change, Rules())).startswith(path)


def test_provider_may_require_earlier_reasoning() -> None:
    rules = Rules(needs_reasoning=True)
    assert "passed back" in str(body_fault(GOOD, rules))
    thought = {**CALL_MESSAGE, "reasoning_content": "hm"}
    assert body_fault(GOOD | with_messages(thought, OUTPUT_MESSAGE), rules) is None
    assert (
        body_fault(GOOD | with_messages(CALL_MESSAGE, OUTPUT_MESSAGE, PROMPT), rules) is None
    )  # an earlier turn


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer other"},
        {"authorization": "Bearer key", "chatgpt-account-id": "1"},
        {"authorization": "Bearer key", "cookie": "a=b"},
        {"authorization": "Bearer key", "x-codex-window-id": "1"},
        {"authorization": "Bearer key", "user-agent": "codex_exec/0.163.0"},
    ],
)
def test_header_of_the_client_is_refused(headers: dict[str, str]) -> None:
    assert header_fault(headers, "key", Rules())
    assert (
        header_fault({"authorization": "Bearer key", "user-agent": "mitmcodex/1"}, "key", Rules())
        is None
    )


def post_body(provider: FakeProvider, request_body: dict[str, Any] = GOOD) -> bytes:
    headers = {"authorization": f"Bearer {provider.key}", "content-type": "application/json"}
    body = json.dumps(request_body).encode()
    request = urllib.request.Request(f"{provider.url}/chat/completions", body, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310 - the fake's own URL
        return bytes(reply.read())


PARTS: tuple[Part, ...] = (think("hm"), say("Hello"), call("ls", a=1), call("ls", b=2))


@pytest.mark.parametrize("style", [OPENAI, KIMI])
def test_sdk_reads_the_stream(style: Any, provider: FakeProvider) -> None:
    provider.reply(*PARTS, style=style)
    lines = post_body(provider).decode().splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(piece, strict=True) for piece in data]
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert content == "Hello"


def test_sdk_reads_the_whole_body(provider: FakeProvider) -> None:
    provider.reply(*PARTS)
    body = {name: value for name, value in GOOD.items() if not name.startswith("stream")}
    completion = ChatCompletion.model_validate_json(post_body(provider, body), strict=True)
    assert completion.choices[0].message.content == "Hello"


def test_refusal_is_answered_and_recorded(provider: FakeProvider) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        post_body(provider, GOOD | {"tools": []})
    caught.value.close()
    assert caught.value.code == 400
    assert [fault.partition(":")[0] for fault in provider.refusals] == ["tools"]
    provider.refusals.clear()


def test_queued_error_is_sent(provider: FakeProvider) -> None:
    provider.reply(error(429, retry_after=2))
    with pytest.raises(urllib.error.HTTPError) as caught:
        post_body(provider)
    caught.value.close()
    assert caught.value.headers["retry-after"] == "2"
