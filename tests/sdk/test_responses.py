"""Requests and responses as the official SDK sends and gets them."""

import base64
from typing import Any

import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.codex.conftest import PIXEL
from tests.fake_provider import FakeProvider, image_urls
from tests.replies import STYLES, Finish, Style, pause, say, think
from tests.sdk.conftest import Ask

PICTURE = f"data:image/png;base64,{base64.b64encode(PIXEL.read_bytes()).decode()}"


class Sum(BaseModel):
    total: int
    steps: list[str]


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_response_has_text_reasoning_and_usage(
    style: Style, ask: Ask, provider: FakeProvider
) -> None:
    provider.reply(think("Greet."), say("Hello,\nworld — ¡olé! 🎉"), style=style)
    response = ask(input="Hello.", instructions="Be kind.")
    assert response.status == "completed"
    assert response.output_text == "Hello,\nworld — ¡olé! 🎉"
    assert response.model == "gpt-5.5"
    [request] = provider.posted_requests
    assert request.system == "Be kind."
    assert request.prompt == "Hello."
    assert request.body["stream_options"] == {"include_usage": True}
    assert response.usage
    assert response.usage.input_tokens == 120
    assert response.usage.input_tokens_details.cached_tokens == 100
    assert response.usage.output_tokens_details.reasoning_tokens == 10


def test_helper_gets_each_delta(client: OpenAI, provider: FakeProvider) -> None:
    provider.reply(think("Hm, let me see."), say("One, "), pause(1.2), say("two, three."))
    with client.responses.stream(model="gpt-5.5", input="Count.") as stream:
        events = list(stream)
    kinds = [event.type for event in events]
    assert kinds.count("response.in_progress") >= 3  # one is required, the others are heartbeats
    text = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(text) == "One, two, three."
    assert len(text) > 2
    assert stream.get_final_response().output_text == "One, two, three."


def test_parameters_reach_the_provider(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    response = ask(
        input="Hello.",
        max_output_tokens=50,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "low", "summary": "auto"},
        metadata={"who": "me"},
        store=False,
    )
    body = provider.posted_requests[0].body
    assert body["max_tokens"] == 50
    assert (body["temperature"], body["top_p"], body["reasoning_effort"]) == (0.5, 0.9, "low")
    assert response.max_output_tokens == 50
    assert (response.temperature, response.top_p) == (0.5, 0.9)
    assert response.metadata == {"who": "me"}


def test_images_reach_the_provider(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(say("A pixel, twice."))
    picture = {"type": "input_image", "image_url": PICTURE}
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {**picture, "detail": "high"},
        {"type": "input_text", "text": "And this?"},
        {**picture, "detail": "auto"},
    ]
    assert ask(input=[{"role": "user", "content": parts}]).output_text == "A pixel, twice."
    [message] = provider.posted_requests[0].messages
    assert [part["type"] for part in message["content"]] == ["text", "image_url"] * 2
    assert image_urls(message) == [PICTURE, PICTURE]


def test_conversation_continues_with_the_sdks_own_items(ask: Ask, provider: FakeProvider) -> None:
    """The client sends the SDK's objects back; the relay stores nothing."""
    provider.style = STYLES["deepseek"]
    provider.reply(think("A name."), say("Ada."))
    provider.reply(say("You said it was Ada."))
    items: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Give me a name."},
    ]
    items += ask(input=items, include=["reasoning.encrypted_content"], store=False).output
    items += [{"role": "user", "content": "Which name?"}]
    assert ask(input=items, store=False).output_text == "You said it was Ada."
    messages = provider.posted_requests[1].messages
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == "Ada."


def test_json_schema_reaches_the_provider(ask: Ask, provider: FakeProvider) -> None:
    provider.reply(say('{"total": 3}'))
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}}
    text = {"format": {"type": "json_schema", "name": "sum", "schema": schema, "strict": True}}
    response = ask(input="1 + 2?", text=text)
    assert response.output_text == '{"total": 3}'
    json_schema = {"name": "sum", "schema": schema, "strict": True}
    assert provider.posted_requests[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": json_schema,
    }


def test_response_is_parsed_by_a_model(client: OpenAI, provider: FakeProvider) -> None:
    provider.reply(think("Easy."), say('{"total": 3, "steps": ["one", "two"]}'))
    response = client.responses.parse(model="gpt-5.5", input="1 + 2?", text_format=Sum)
    assert response.output_parsed == Sum(total=3, steps=["one", "two"])
    provider.reply(say('{"total": 4, "steps": []}'))
    with client.responses.stream(model="gpt-5.5", input="2 + 2?", text_format=Sum) as stream:
        assert stream.get_final_response().output_parsed == Sum(total=4, steps=[])
    for request in provider.posted_requests:
        form = request.body["response_format"]["json_schema"]
        assert (form["name"], form["strict"]) == ("Sum", True)
        assert form["schema"]["required"] == ["total", "steps"]


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_truncated_reply_is_incomplete(
    finish: str, reason: str, stream: bool, client: OpenAI, provider: FakeProvider
) -> None:
    provider.reply(say("So far and no"), Finish(finish))
    answer: Any = client.responses.create(model="gpt-5.5", input="Go on.", stream=stream)
    response = [*answer][-1].response if stream else answer
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == reason
    assert response.output_text == "So far and no"


def test_dropped_parts_are_listed_in_a_header(client: OpenAI, provider: FakeProvider) -> None:
    provider.reply(say("Hi."))
    raw = client.responses.with_raw_response.create(
        model="gpt-5.5", input="Hello.", tools=[{"type": "web_search"}], service_tier="priority"
    )
    dropped = raw.headers["x-relay-dropped"]
    assert "web_search" in dropped
    assert "service_tier" in dropped
    assert raw.headers["x-relay-provider"] == "generic"
    assert raw.parse().output_text == "Hi."


def test_input_tokens_are_counted(client: OpenAI) -> None:
    count = client.responses.input_tokens.count(model="gpt-5.5", input="Hello. " * 100)
    assert count.object == "response.input_tokens" and 150 < count.input_tokens < 250
    assert count.model_extra == {"estimated": True}
