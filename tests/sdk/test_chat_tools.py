"""Tools in a loop: a Chat client runs them, and keeps all of a message or only its plain fields."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from pydantic import BaseModel

from tests.house import Home
from tests.replies import call, custom, say, think
from tests.sdk.chats import Answer, Desk

PLAIN = {"role", "content", "tool_calls"}
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


def plain(message: ChatCompletionMessage) -> dict[str, Any]:
    """As most clients keep it."""
    return {name: value for name, value in whole(message).items() if name in PLAIN}


def whole(message: ChatCompletionMessage) -> dict[str, Any]:
    made = message.model_dump(exclude_none=True)
    made.pop("parsed", None)  # the helper's own
    return made


def detailed(message: ChatCompletionMessage) -> dict[str, Any]:
    """With the one field that is meant to come back."""
    return plain(message) | {DETAILS: whole(message).get(DETAILS, [])}


Keep = Callable[[ChatCompletionMessage], dict[str, Any]]


def loop(
    answer: Answer, prompt: str, run: Callable[[Any], str], keep: Keep = plain, **fields: Any
) -> ChatCompletion:
    """Until no call is left."""
    messages: list[Any] = [{"role": "user", "content": prompt}]
    for _ in range(5):
        made = answer(messages=messages, **fields)
        message = made.choices[0].message
        messages.append(keep(message))
        if not message.tool_calls:
            assert made.choices[0].finish_reason == "stop"
            return made
        assert made.choices[0].finish_reason == "tool_calls"
        messages += [
            {"role": "tool", "tool_call_id": one.id, "content": run(one)}
            for one in message.tool_calls
        ]
    raise AssertionError("no end")


def thoughts(home: Home, turn: int) -> list[str]:
    """The reasoning that went up with a request, in order."""
    body = home.asked[turn].body
    if home.account:
        items = [item for item in body["input"] if item["type"] == "reasoning"]
        return [bytes.fromhex(i["encrypted_content"].rpartition("-")[2]).decode() for i in items]
    said = [message for message in body["messages"] if message["role"] == "assistant"]
    return [message.get("reasoning_content") for message in said]


@pytest.mark.parametrize("keep", [plain, detailed, whole])
def test_a_loop_keeps_its_reasoning(keep: Keep, answer: Answer, desk: Desk) -> None:
    """Also where the client does not: what an account's service sealed is exactly its own again."""
    fake = desk.home.fake
    fake.rules.needs_reasoning = True
    fake.reply(think("The north first."), say("I look."), call("weather", city="Tromsø"))
    fake.reply(think("Now the south."), call("weather", city="Rome"))
    fake.reply(think("Enough."), say("Cold and warm."))
    seen: list[str] = []

    def run(one: Any) -> str:
        assert (one.type, one.function.name) == ("function", "weather")
        seen.append(json.loads(one.function.arguments)["city"])
        return f"It is {'cold' if len(seen) == 1 else 'warm'}."

    made = loop(answer, "Compare.", run, keep, tools=[TOOL])
    assert made.choices[0].message.content == "Cold and warm."
    assert seen == ["Tromsø", "Rome"]
    assert desk.home.asked[2].outputs == ["It is cold.", "It is warm."]
    assert thoughts(desk.home, 1) == ["The north first."]
    assert thoughts(desk.home, 2) == ["The north first.", "Now the south."]
    if desk.home.account:
        assert len({asked.body["prompt_cache_key"] for asked in desk.home.asked}) == 1


def test_parallel_calls(answer: Answer, desk: Desk) -> None:
    cities = ["Oslo", "Rome", "Lima"]
    desk.home.fake.reply(think("All of them."), *(call("weather", city=city) for city in cities))
    desk.home.fake.reply(say("All fine."))
    made = loop(answer, "Compare.", lambda one: str(one.function.arguments), tools=[TOOL])
    assert made.choices[0].message.content == "All fine."
    found = [json.loads(output)["city"] for output in desk.home.asked[1].outputs]
    assert found == cities
    assert thoughts(desk.home, 1) == ["All of them."]


@pytest.mark.parametrize("stream", [False, True])
def test_a_custom_tool(stream: bool, desk: Desk) -> None:
    """In a stream as OpenAI sends it; the SDK's types do not list it there, so its helper does not
    put it together."""
    text, native = 'run echo "a\\b"\n\tand\n', desk.home.account
    desk.home.fake.reply(custom("shell", text) if native else call("shell", input=text))
    desk.home.fake.reply(say("Done."))

    def answer(**fields: Any) -> Any:
        return desk.create(**fields) if not stream else folded(desk.create(stream=True, **fields))

    seen = []

    def run(one: Any) -> str:
        assert one.type == "custom"
        seen.append((one.custom.name, one.custom.input))
        return "a\\b"

    loop(answer, "Echo.", run, tools=[SHELL])
    assert seen == [("shell", text)]
    first, second = desk.home.asked
    assert second.outputs == ["a\\b"]
    [tool] = first.body["tools"]
    assert tool["type"] == ("custom" if native else "function")
    assert "start: " in json.dumps(tool)


def folded(stream: Any) -> ChatCompletion:
    """A stream with at most one call, put together by hand."""
    made: dict[str, Any] = {"role": "assistant", "content": None}
    call: dict[str, Any] = {}
    for chunk in stream:
        for choice in chunk.choices:
            delta, reason = choice.delta, choice.finish_reason
            if delta.content:
                made["content"] = (made["content"] or "") + delta.content
            for piece in delta.tool_calls or ():
                told = piece.model_dump(exclude_none=True)
                text = call.get("custom", {}).get("input", "") + told["custom"].get("input", "")
                call = {**told, **call, "custom": {**told["custom"], **call.get("custom", {})}}
                call["custom"]["input"] = text
    calls = {"tool_calls": [call]} if call else {}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    choice = {"index": 0, "message": {**made, **calls}, "finish_reason": reason}
    return ChatCompletion.model_validate({**head, "choices": [choice]})


def test_parsed_arguments(desk: Desk) -> None:
    desk.home.fake.reply(call("weather", city="Oslo"))
    made = desk.client.chat.completions.parse(
        model=desk.home.model, messages=[{"role": "user", "content": "Weather?"}], tools=[TOOL]
    )
    [one] = made.choices[0].message.tool_calls or []
    assert one.function.parsed_arguments == Weather(city="Oslo")


def test_tool_choice(desk: Desk) -> None:
    for choice in CHOICES:
        desk.home.fake.reply(say("Hi."))
        desk.create(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)
        body = desk.home.asked[-1].body
        made = body.get("tool_choice", "auto")
        if isinstance(choice, dict):
            assert made.get("function", made)["name"] == "weather"
        else:
            assert made == choice
        assert body["parallel_tool_calls"] is False
