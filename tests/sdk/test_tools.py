"""Tools in a loop: the client runs them, and sends back all that it got."""

from collections.abc import Callable
from typing import Any

from openai import OpenAI, pydantic_function_tool
from openai.types.responses import Response
from pydantic import BaseModel

from tests.fake_provider import FakeProvider, images
from tests.replies import call, say, think
from tests.sdk.conftest import Ask
from tests.sdk.test_responses import PICTURE

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY, "strict": False}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "run" /.+/'}
SHELL = {"type": "custom", "name": "shell", "description": "A shell.", "format": GRAMMAR}


def loop(ask: Ask, prompt: str, run: Callable[[Any], Any], **fields: Any) -> Response:
    """As in OpenAI's guide: until no call is left, with the reasoning and stateless."""
    items: list[Any] = [{"role": "user", "content": prompt}]
    for _ in range(5):
        response = ask(input=items, store=False, include=["reasoning.encrypted_content"], **fields)
        items += response.output
        calls = [item for item in response.output if item.type.endswith("_call")]
        if not calls:
            return response
        items += [
            {"type": f"{item.type}_output", "call_id": item.call_id, "output": run(item)}
            for item in calls
        ]
    raise AssertionError("no end")


def test_function_calls(ask: Ask, provider: FakeProvider) -> None:
    """The provider wants its reasoning back: it has but one way, through the client."""
    provider.rules.needs_reasoning = True
    provider.reply(think("The north first."), say("I look."), call("weather", city="Tromsø"))
    provider.reply(think("Now the south."), call("weather", city="Rome"))
    provider.reply(think("Enough."), say("Cold and warm."))
    seen: list[str] = []

    def run(item: Any) -> str:
        assert item.name == "weather"
        seen.append(item.arguments)
        return f"It is {'cold' if len(seen) == 1 else 'warm'}."

    response = loop(ask, "Compare the weather.", run, tools=[WEATHER])
    assert response.output_text == "Cold and warm."
    assert seen == ['{"city": "Troms\\u00f8"}', '{"city": "Rome"}']
    last = provider.chats[2]
    assert last.tools["weather"]["parameters"] == CITY
    assert last.outputs == ["It is cold.", "It is warm."]
    thoughts = [m["reasoning_content"] for m in last.messages if m["role"] == "assistant"]
    assert thoughts == ["The north first.", "Now the south."]
    assert last.messages[1]["content"] == "I look."


def test_parallel_calls(ask: Ask, provider: FakeProvider) -> None:
    provider.rules.needs_reasoning = True
    cities = ["Oslo", "Rome", "Lima"]
    provider.reply(think("All of them."), *(call("weather", city=city) for city in cities))
    provider.reply(say("All fine."))
    response = loop(ask, "Compare.", lambda item: item.arguments, tools=[WEATHER])
    assert response.output_text == "All fine."
    _, assistant, *outputs = provider.chats[1].messages
    assert assistant["reasoning_content"] == "All of them."
    ids = [made["id"] for made in assistant["tool_calls"]]
    assert ids == [output["tool_call_id"] for output in outputs]
    assert provider.chats[1].outputs == [f'{{"city": "{city}"}}' for city in cities]


def test_a_custom_tool(ask: Ask, provider: FakeProvider) -> None:
    text = 'run echo "a\\b"\n\tand\n'
    provider.reply(call("shell", input=text))
    provider.reply(say("Done."))
    seen = []

    def run(item: Any) -> str:
        assert item.type == "custom_tool_call"
        seen.append(item.input)
        return "a\\b"

    assert loop(ask, "Echo.", run, tools=[SHELL]).output_text == "Done."
    assert seen == [text]
    first, second = provider.chats
    assert GRAMMAR["definition"] in first.tools["shell"]["description"]
    assert second.outputs == ["a\\b"]


def test_kinds_of_tools_beside_each_other(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(call("weather", city="Oslo"), call("shell", input="run ls"))
    provider.reply(say("Done."))
    loop(ask, "Both.", lambda item: item.type, tools=[WEATHER, SHELL])
    assert provider.chats[1].outputs == ["function_call", "custom_tool_call"]


def test_a_picture_for_an_output(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(call("weather", city="Oslo"))
    provider.reply(say("Rain."))
    parts = [
        {"type": "input_text", "text": "The radar:"},
        {"type": "input_image", "image_url": PICTURE},
    ]
    assert loop(ask, "Look.", lambda item: parts, tools=[WEATHER]).output_text == "Rain."
    assert [url for m in provider.chats[1].messages for url in images(m)] == [PICTURE]
    assert "The radar:" in provider.chats[1].outputs[0]


def test_tool_choice(ask: Ask, provider: FakeProvider) -> None:
    for choice, sent in [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "weather"}, {"name": "weather"}),
    ]:
        provider.reply(say("Hi."))
        ask(input="Hello.", tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)
        body = provider.chats[-1].body
        made = body.get("tool_choice")
        assert (made["function"] if isinstance(made, dict) else made) == sent
        assert body["parallel_tool_calls"] is False


def test_parsed_arguments(client: OpenAI, provider: FakeProvider) -> None:
    """They go back in the next request, as a field that OpenAI does not know."""

    class Weather(BaseModel):
        city: str

    function = pydantic_function_tool(Weather, name="weather")["function"]
    tool: Any = {"type": "function", **function}
    provider.reply(call("weather", city="Oslo"))
    provider.reply(say("Rain."))

    def parse(**fields: Any) -> Any:
        return client.responses.parse(model="gpt-5.5", **fields)

    def run(item: Any) -> str:
        assert item.parsed_arguments == {"city": "Oslo"} or item.parsed_arguments.city == "Oslo"
        return "rain"

    assert loop(parse, "Weather?", run, tools=[tool]).output_text == "Rain."
