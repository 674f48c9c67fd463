"""The fake provider itself: what it refuses, and that the official SDK reads what it sends."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.fake_provider import FakeProvider
from tests.replies import KIMI, OPENAI, Part, call, error, say, think
from tests.strict_chat import Rules, leak, refusal

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "ls", "parameters": {"type": "object"}},
}
CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
ASKED = {"role": "user", "content": "hi"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
GOOD: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "system", "content": "be"}, ASKED, CALLED, ANSWERED],
    "tools": [TOOL],
    "tool_choice": "auto",
    "stream": True,
    "stream_options": {"include_usage": True},
}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def said(*messages: Any) -> dict[str, Any]:
    return {"messages": [ASKED, *messages]}


def called(**change: Any) -> dict[str, Any]:
    return said({**CALLED, "tool_calls": [{**CALL, **change}]}, ANSWERED)


def tooled(**change: Any) -> dict[str, Any]:
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
    (tooled(name="a.b"), "tools[0].function.name"),
    (tooled(name="x" * 65), "tools[0].function.name"),
    (tooled(parameters={"type": "array"}), "tools[0].function.parameters"),
    (tooled(defer_loading=True), "tools[0].function.defer_loading"),
    ({"tool_choice": {"type": "function", "function": {"name": "rm"}}}, "tool_choice"),
    ({"tool_choice": "any"}, "tool_choice"),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    (said({"role": "developer", "content": "x"}), "messages[1].role"),
    (said({"role": "user", "content": "x", "id": "y"}), "messages[1].id"),
    (said({"role": "user", "content": ""}), "messages[1].content"),
    (said({"role": "assistant", "content": None}), "messages[1].content"),
    (said({"role": "user", "content": [{"type": "input_text", "text": "x"}]}), "messages[1]"),
    (said({"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}), "messages[1]"),
    (said({"role": "assistant", "content": [IMAGE]}), "messages[1].content[0]"),
    (said(CALLED, {**ANSWERED, "content": [IMAGE]}), "messages[2].content[0]"),
    (said(ANSWERED), "messages[1].tool_call_id"),
    (said(CALLED), "messages: tool calls"),
    (said(CALLED, ASKED, ANSWERED), "messages[2]"),
    (said(CALLED, ANSWERED, ANSWERED), "messages[3].tool_call_id"),
    (said(CALLED, ANSWERED, CALLED, ANSWERED), "messages[3].tool_calls[0].id"),
    (called(id=""), "messages[1].tool_calls[0]"),
    (called(function={"name": "ls", "arguments": {}}), "messages[1].tool_calls[0].function"),
    (called(function={"name": "ls", "arguments": "{"}), "messages[1].tool_calls[0].function"),
    (called(index=0), "messages[1].tool_calls[0].index"),
]


def test_a_good_request_is_taken() -> None:
    picture = {"role": "user", "content": [{"type": "text", "text": "what?"}, IMAGE]}
    assert refusal(GOOD, Rules()) is None
    assert refusal(GOOD | said(CALLED, ANSWERED, picture), Rules()) is None


@pytest.mark.parametrize(("change", "place"), BAD, ids=[place for _, place in BAD])
def test_a_fault_is_refused_with_its_place(change: dict[str, Any], place: str) -> None:
    assert str(refusal(GOOD | change, Rules())).startswith(place)


def test_thoughts_must_come_back_where_the_provider_needs_them() -> None:
    rules = Rules(needs_reasoning=True)
    assert "passed back" in str(refusal(GOOD, rules))
    thought = {**CALLED, "reasoning_content": "hm"}
    assert refusal(GOOD | said(thought, ANSWERED), rules) is None
    assert refusal(GOOD | said(CALLED, ANSWERED, ASKED), rules) is None  # an earlier turn


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
def test_a_leaked_header_is_refused(headers: dict[str, str]) -> None:
    assert leak(headers, "key", Rules())
    assert (
        leak({"authorization": "Bearer key", "user-agent": "codex-relay/1"}, "key", Rules()) is None
    )


def ask(provider: FakeProvider, asked: dict[str, Any] = GOOD) -> bytes:
    headers = {"authorization": f"Bearer {provider.key}", "content-type": "application/json"}
    body = json.dumps(asked).encode()
    request = urllib.request.Request(f"{provider.url}/chat/completions", body, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310 - the fake's own URL
        return bytes(reply.read())


PARTS: tuple[Part, ...] = (think("hm"), say("Hello"), call("ls", a=1), call("ls", b=2))


@pytest.mark.parametrize("style", [OPENAI, KIMI])
def test_the_sdk_reads_its_stream(style: Any, provider: FakeProvider) -> None:
    provider.reply(*PARTS, style=style)
    lines = ask(provider).decode().splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data.pop() == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(one, strict=True) for one in data]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == "Hello"


def test_the_sdk_reads_its_body(provider: FakeProvider) -> None:
    provider.reply(*PARTS)
    body = {name: value for name, value in GOOD.items() if not name.startswith("stream")}
    completion = ChatCompletion.model_validate_json(ask(provider, body), strict=True)
    assert completion.choices[0].message.content == "Hello"


def test_a_refusal_is_answered_and_kept(provider: FakeProvider) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(provider, GOOD | {"tools": []})
    caught.value.close()
    assert caught.value.code == 400
    assert [fault.partition(":")[0] for fault in provider.refusals] == ["tools"]
    provider.refusals.clear()


def test_scripted_errors(provider: FakeProvider) -> None:
    provider.reply(error(429, retry_after=2))
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(provider)
    caught.value.close()
    assert caught.value.headers["retry-after"] == "2"
