"""Tools in a loop: the client runs them, and sends back all items that it got."""

from collections.abc import Callable
from typing import Any

from openai import OpenAI, pydantic_function_tool
from openai.types.responses import Response
from pydantic import BaseModel

from tests.fake_provider import FakeProvider, image_urls
from tests.replies import call, say, think
from tests.sdk.conftest import Ask
from tests.sdk.test_responses import PICTURE

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "weather", "parameters": CITY, "strict": False}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": 'start: "run" /.+/'}
SHELL = {"type": "custom", "name": "shell", "description": "A shell.", "format": GRAMMAR}


def run_tool_loop(ask: Ask, prompt: str, run: Callable[[Any], Any], **fields: Any) -> Response:
    """Run calls until the model makes none, stateless and with the reasoning: OpenAI's guide."""
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


def test_function_calls_keep_their_reasoning(ask: Ask, provider: FakeProvider) -> None:
    """The provider requires its reasoning back, which only the client has."""
    provider.rules.needs_reasoning = True
    provider.reply(think("The north first."), say("I look."), call("weather", city="Tromsø"))
    provider.reply(think("Now the south."), call("weather", city="Rome"))
    provider.reply(think("Enough."), say("Cold and warm."))
    seen: list[str] = []

    def run(item: Any) -> str:
        assert item.name == "weather"
        seen.append(item.arguments)
        return f"It is {'cold' if len(seen) == 1 else 'warm'}."

    response = run_tool_loop(ask, "Compare the weather.", run, tools=[WEATHER])
    assert response.output_text == "Cold and warm."
    assert seen == ['{"city": "Troms\\u00f8"}', '{"city": "Rome"}']
    last = provider.posted_requests[2]
    assert last.tools["weather"]["parameters"] == CITY
    assert last.outputs == ["It is cold.", "It is warm."]
    thoughts = [m["reasoning_content"] for m in last.messages if m["role"] == "assistant"]
    assert thoughts == ["The north first.", "Now the south."]
    assert last.messages[1]["content"] == "I look."


def test_parallel_calls_stay_together(ask: Ask, provider: FakeProvider) -> None:
    provider.rules.needs_reasoning = True
    cities = ["Oslo", "Rome", "Lima"]
    provider.reply(think("All of them."), *(call("weather", city=city) for city in cities))
    provider.reply(say("All fine."))
    response = run_tool_loop(ask, "Compare.", lambda item: item.arguments, tools=[WEATHER])
    assert response.output_text == "All fine."
    _, assistant, *outputs = provider.posted_requests[1].messages
    assert assistant["reasoning_content"] == "All of them."
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert ids == [output["tool_call_id"] for output in outputs]
    assert provider.posted_requests[1].outputs == [f'{{"city": "{city}"}}' for city in cities]


def test_custom_tool_is_called(ask: Ask, provider: FakeProvider) -> None:
    text = 'run echo "a\\b"\n\tand\n'
    provider.reply(call("shell", input=text))
    provider.reply(say("Done."))
    seen = []

    def run(item: Any) -> str:
        assert item.type == "custom_tool_call"
        seen.append(item.input)
        return "a\\b"

    assert run_tool_loop(ask, "Echo.", run, tools=[SHELL]).output_text == "Done."
    assert seen == [text]
    first, second = provider.posted_requests
    assert GRAMMAR["definition"] in first.tools["shell"]["description"]
    assert second.outputs == ["a\\b"]


def test_different_kinds_of_tools_are_called_together(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(call("weather", city="Oslo"), call("shell", input="run ls"))
    provider.reply(say("Done."))
    run_tool_loop(ask, "Both.", lambda item: item.type, tools=[WEATHER, SHELL])
    assert provider.posted_requests[1].outputs == ["function_call", "custom_tool_call"]


def test_output_may_be_an_image(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(call("weather", city="Oslo"))
    provider.reply(say("Rain."))
    parts = [
        {"type": "input_text", "text": "The radar:"},
        {"type": "input_image", "image_url": PICTURE},
    ]
    assert run_tool_loop(ask, "Look.", lambda item: parts, tools=[WEATHER]).output_text == "Rain."
    assert [url for m in provider.posted_requests[1].messages for url in image_urls(m)] == [PICTURE]
    assert "The radar:" in provider.posted_requests[1].outputs[0]


def test_tool_choice_reaches_the_provider(ask: Ask, provider: FakeProvider) -> None:
    for choice, sent in [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "weather"}, {"name": "weather"}),
    ]:
        provider.reply(say("Hi."))
        ask(input="Hello.", tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False)
        body = provider.posted_requests[-1].body
        sent_choice = body.get("tool_choice")
        assert (sent_choice["function"] if isinstance(sent_choice, dict) else sent_choice) == sent
        assert body["parallel_tool_calls"] is False


def test_arguments_are_parsed_by_a_model(client: OpenAI, provider: FakeProvider) -> None:
    """They go back in the next request, in a field that OpenAI's API does not have."""

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

    assert run_tool_loop(parse, "Weather?", run, tools=[tool]).output_text == "Rain."
