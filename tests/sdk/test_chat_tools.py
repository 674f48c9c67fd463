"""Tools in a loop: a Chat client runs them, and sends back whole messages or their usual fields."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from pydantic import BaseModel

from tests.deployments import Deployment
from tests.replies import call, custom, say, think
from tests.sdk.chats import AskChat, ChatClient

USUAL_FIELDS = {"role", "content", "tool_calls"}
DETAILS = "reasoning_details"
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "run" /.+/'}}
SHELL = {
    "type": "custom",
    "custom": {"name": "shell", "description": "A shell.", "format": GRAMMAR},
}

NAMED = {"type": "function", "function": {"name": "weather"}}
CHOICES: list[Any] = ["auto", "none", "required", NAMED]


class Weather(BaseModel):
    """The weather of a city."""

    city: str


TOOL = pydantic_function_tool(Weather, name="weather")


def as_usual_fields(message: ChatCompletionMessage) -> dict[str, Any]:
    """The fields that most clients send back."""
    return {
        name: value for name, value in as_whole_message(message).items() if name in USUAL_FIELDS
    }


def as_whole_message(message: ChatCompletionMessage) -> dict[str, Any]:
    fields = message.model_dump(exclude_none=True)
    fields.pop("parsed", None)  # added by the helper
    return fields


def with_reasoning_details(message: ChatCompletionMessage) -> dict[str, Any]:
    """The usual fields and `reasoning_details`, which is meant to come back."""
    return as_usual_fields(message) | {DETAILS: as_whole_message(message).get(DETAILS, [])}


Keep = Callable[[ChatCompletionMessage], dict[str, Any]]


def run_tool_loop(
    ask_chat: AskChat,
    prompt: str,
    run: Callable[[Any], str],
    keep: Keep = as_usual_fields,
    **fields: Any,
) -> ChatCompletion:
    """Run calls until the model makes none."""
    messages: list[Any] = [{"role": "user", "content": prompt}]
    for _ in range(5):
        answer = ask_chat(messages=messages, **fields)
        message = answer.choices[0].message
        messages.append(keep(message))
        if not message.tool_calls:
            assert answer.choices[0].finish_reason == "stop"
            return answer
        assert answer.choices[0].finish_reason == "tool_calls"
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": run(call)}
            for call in message.tool_calls
        ]
    raise AssertionError("no end")


def reasoning_sent(deployment: Deployment, number: int) -> list[str]:
    """The reasoning in a request to the upstream, in order."""
    body = deployment.upstream_requests[number].body
    if deployment.has_account:
        items = [item for item in body["input"] if item["type"] == "reasoning"]
        return [bytes.fromhex(i["encrypted_content"].rpartition("-")[2]).decode() for i in items]
    messages = [message for message in body["messages"] if message["role"] == "assistant"]
    return [message.get("reasoning_content") for message in messages]


@pytest.mark.parametrize("keep", [as_usual_fields, with_reasoning_details, as_whole_message])
def test_tool_loop_keeps_its_reasoning(
    keep: Keep, ask_chat: AskChat, chat_client: ChatClient
) -> None:
    """Even if the client does not send it; sealed reasoning of an account comes back exactly."""
    fake = chat_client.deployment.upstream
    fake.rules.needs_reasoning = True
    fake.reply(think("The north first."), say("I look."), call("weather", city="Tromsø"))
    fake.reply(think("Now the south."), call("weather", city="Rome"))
    fake.reply(think("Enough."), say("Cold and warm."))
    seen: list[str] = []

    def run(call: Any) -> str:
        assert (call.type, call.function.name) == ("function", "weather")
        seen.append(json.loads(call.function.arguments)["city"])
        return f"It is {'cold' if len(seen) == 1 else 'warm'}."

    answer = run_tool_loop(ask_chat, "Compare.", run, keep, tools=[TOOL])
    assert answer.choices[0].message.content == "Cold and warm."
    assert seen == ["Tromsø", "Rome"]
    assert chat_client.deployment.upstream_requests[2].outputs == ["It is cold.", "It is warm."]
    assert reasoning_sent(chat_client.deployment, 1) == ["The north first."]
    assert reasoning_sent(chat_client.deployment, 2) == ["The north first.", "Now the south."]
    if chat_client.deployment.has_account:
        assert (
            len(
                {
                    request.body["prompt_cache_key"]
                    for request in chat_client.deployment.upstream_requests
                }
            )
            == 1
        )


def test_parallel_calls_are_answered(ask_chat: AskChat, chat_client: ChatClient) -> None:
    cities = ["Oslo", "Rome", "Lima"]
    chat_client.deployment.upstream.reply(
        think("All of them."), *(call("weather", city=city) for city in cities)
    )
    chat_client.deployment.upstream.reply(say("All fine."))
    answer = run_tool_loop(
        ask_chat, "Compare.", lambda call: str(call.function.arguments), tools=[TOOL]
    )
    assert answer.choices[0].message.content == "All fine."
    cities_answered = [
        json.loads(output)["city"] for output in chat_client.deployment.upstream_requests[1].outputs
    ]
    assert cities_answered == cities
    assert reasoning_sent(chat_client.deployment, 1) == ["All of them."]


@pytest.mark.parametrize("stream", [False, True])
def test_custom_tool_is_called(stream: bool, chat_client: ChatClient) -> None:
    """Streamed as OpenAI does; the SDK's helper does not assemble it, as its types lack it."""
    text, native = 'run echo "a\\b"\n\tand\n', chat_client.deployment.has_account
    chat_client.deployment.upstream.reply(
        custom("shell", text) if native else call("shell", input=text)
    )
    chat_client.deployment.upstream.reply(say("Done."))

    def answer(**fields: Any) -> Any:
        return (
            chat_client.create(**fields)
            if not stream
            else fold_stream(chat_client.create(stream=True, **fields))
        )

    seen = []

    def run(call: Any) -> str:
        assert call.type == "custom"
        seen.append((call.custom.name, call.custom.input))
        return "a\\b"

    run_tool_loop(answer, "Echo.", run, tools=[SHELL])
    assert seen == [("shell", text)]
    first, second = chat_client.deployment.upstream_requests
    assert second.outputs == ["a\\b"]
    [tool] = first.body["tools"]
    assert tool["type"] == ("custom" if native else "function")
    assert "start: " in json.dumps(tool)


def fold_stream(stream: Any) -> ChatCompletion:
    """The completion that a stream with at most one call adds up to."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    call: dict[str, Any] = {}
    for chunk in stream:
        for choice in chunk.choices:
            delta, reason = choice.delta, choice.finish_reason
            if delta.content:
                message["content"] = (message["content"] or "") + delta.content
            for piece in delta.tool_calls or ():
                delta = piece.model_dump(exclude_none=True)
                text = call.get("custom", {}).get("input", "") + delta["custom"].get("input", "")
                call = {**delta, **call, "custom": {**delta["custom"], **call.get("custom", {})}}
                call["custom"]["input"] = text
    calls = {"tool_calls": [call]} if call else {}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    choice = {"index": 0, "message": {**message, **calls}, "finish_reason": reason}
    return ChatCompletion.model_validate({**head, "choices": [choice]})


def test_arguments_are_parsed_by_a_model(chat_client: ChatClient) -> None:
    chat_client.deployment.upstream.reply(call("weather", city="Oslo"))
    completion = chat_client.client.chat.completions.parse(
        model=chat_client.deployment.model,
        messages=[{"role": "user", "content": "Weather?"}],
        tools=[TOOL],
    )
    [function_call] = completion.choices[0].message.tool_calls or []
    assert function_call.function.parsed_arguments == Weather(city="Oslo")


def test_tool_choice_reaches_the_upstream(chat_client: ChatClient) -> None:
    for choice in CHOICES:
        chat_client.deployment.upstream.reply(say("Hi."))
        chat_client.create(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
        body = chat_client.deployment.upstream_requests[-1].body
        sent_choice = body.get("tool_choice", "auto")
        if isinstance(choice, dict):
            assert sent_choice.get("function", sent_choice)["name"] == "weather"
        else:
            assert sent_choice == choice
        assert body["parallel_tool_calls"] is False
