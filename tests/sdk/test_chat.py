"""Chat Completions as the official SDK gets them: of an account, a Chat provider, and both."""

import base64
from typing import Any

import pytest
from openai import APITimeoutError, LengthFinishReasonError
from pydantic import BaseModel

from tests.codex.conftest import PIXEL
from tests.deployments import Deployments
from tests.replies import Finish, pause, say, think
from tests.sdk.chats import AskChat, ChatClient, at_places, chat_fields, connected_client

PICTURE = f"data:image/png;base64,{base64.b64encode(PIXEL.read_bytes()).decode()}"
# For slow tests.
FEW = at_places("vault by proxy", "provider by base_url")


class Sum(BaseModel):
    total: int
    steps: list[str]


def test_answer_has_text_reasoning_and_usage(ask_chat: AskChat, chat_client: ChatClient) -> None:
    chat_client.deployment.upstream.reply(think("Greet."), say("Hello,\nworld — ¡olé! 🎉"))
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}]
    answer = ask_chat(messages=messages)
    [choice] = answer.choices
    assert choice.message.content == "Hello,\nworld — ¡olé! 🎉"
    assert getattr(choice.message, "reasoning_content", None) == "Greet."
    assert choice.finish_reason == "stop"
    assert answer.model == chat_client.deployment.model
    [request] = chat_client.deployment.upstream_requests
    assert (request.system, request.prompt) == ("Be kind.", "Hi.")
    assert (
        answer.usage
        and answer.usage.prompt_tokens_details
        and answer.usage.completion_tokens_details
    )
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (120, 30)
    assert answer.usage.prompt_tokens_details.cached_tokens == 100
    assert answer.usage.completion_tokens_details.reasoning_tokens == 10


@pytest.mark.parametrize("wants_usage", [True, False, None])
def test_stream_has_usage_only_if_requested(
    wants_usage: bool | None, chat_client: ChatClient
) -> None:
    chat_client.deployment.upstream.reply(think("Hm."), say("One, two, three."))
    options = {} if wants_usage is None else {"stream_options": {"include_usage": wants_usage}}
    with chat_client.create("Count.", stream=True, **options) as stream:
        chunks = list(stream)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    pieces = [delta.content for delta in deltas if delta.content]
    assert "".join(pieces) == "One, two, three." and len(pieces) > 1
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hm."
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    if wants_usage:
        assert chunks[-1].choices == [] and usages == [chunks[-1].usage]
        assert chunks[-1].usage.total_tokens == 150
    else:
        assert usages == []


@FEW
def test_helper_emits_its_events(chat_client: ChatClient) -> None:
    """Heartbeats between them are comments, not events."""
    chat_client.deployment.upstream.reply(say("One, "), pause(0.7), say("two."))
    fields = chat_fields(chat_client.deployment, "Count.", {})
    with chat_client.client.chat.completions.stream(**fields) as stream:
        events: list[Any] = list(stream)
    text = [event.delta for event in events if event.type == "content.delta"]
    done = [event.content for event in events if event.type == "content.done"]
    assert done == ["".join(text)]
    assert done[0].replace("\n", "") == "One, two."


def test_answer_is_parsed_by_a_model(chat_client: ChatClient) -> None:
    completions, fields = (
        chat_client.client.chat.completions,
        chat_fields(chat_client.deployment, "1 + 2?", {}),
    )
    chat_client.deployment.upstream.reply(
        think("Easy."), say('{"total": 3, "steps": ["one", "two"]}')
    )
    parsed = completions.parse(**fields, response_format=Sum)
    assert parsed.choices[0].message.parsed == Sum(total=3, steps=["one", "two"])
    chat_client.deployment.upstream.reply(say('{"total": 4, "steps": []}'))
    with completions.stream(**fields, response_format=Sum) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Sum(total=4, steps=[])
    for request in chat_client.deployment.upstream_requests:
        body = request.body
        form = (
            body["text"]["format"]
            if chat_client.deployment.has_account
            else body["response_format"]
        )
        form = form.get("json_schema", form)
        assert (form["name"], form["strict"]) == ("Sum", True)
        assert form["schema"]["required"] == ["total", "steps"]


def test_images_reach_the_upstream(ask_chat: AskChat, chat_client: ChatClient) -> None:
    chat_client.deployment.upstream.reply(say("A pixel, twice."))
    picture = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}}
    parts = [{"type": "text", "text": "What are these?"}, picture, picture]
    answer = ask_chat(messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "A pixel, twice."
    [request] = chat_client.deployment.upstream_requests
    assert request.prompt == "What are these?"
    assert request.pictures == [PICTURE, PICTURE]


def test_conversation_continues_with_the_sdks_own_message(
    ask_chat: AskChat, chat_client: ChatClient
) -> None:
    """The SDK's message goes back as it is, with all of its fields."""
    chat_client.deployment.upstream.reply(think("A name."), say("Ada."))
    chat_client.deployment.upstream.reply(say("You said it was Ada."))
    messages: list[Any] = [{"role": "user", "content": "Give me a name."}]
    messages.append(ask_chat(messages=messages).choices[0].message)
    messages.append({"role": "user", "content": "Which name?"})
    assert ask_chat(messages=messages).choices[0].message.content == "You said it was Ada."
    body = chat_client.deployment.upstream_requests[1].body
    items = body["input"] if chat_client.deployment.has_account else body["messages"]
    roles = [item.get("role", item.get("type")) for item in items]
    reasoning = ["reasoning"] if chat_client.deployment.has_account else []
    assert roles == ["user", *reasoning, "assistant", "user"]


def test_parameters_reach_the_upstream_or_are_reported(chat_client: ChatClient) -> None:
    """A provider gets them; those that the account's service refuses are reported."""
    chat_client.deployment.upstream.reply(say("Hi."))
    completions = chat_client.client.chat.completions.with_raw_response
    fields = {"temperature": 0.5, "max_completion_tokens": 50, "reasoning_effort": "low"}
    raw = completions.create(**chat_fields(chat_client.deployment, "Hello.", fields))
    assert raw.parse().choices[0].message.content == "Hi."
    [request] = chat_client.deployment.upstream_requests
    if chat_client.deployment.has_account:
        assert raw.headers["x-relay-provider"] == "chatgpt"
        assert {"temperature", "max_completion_tokens"} == {
            *raw.headers["x-relay-dropped"].replace(" ", "").split(",")
        }
        assert request.body["reasoning"]["effort"] == "low"
    else:
        assert raw.headers["x-relay-provider"] == "generic"
        assert "x-relay-dropped" not in raw.headers
        assert (request.body["temperature"], request.body["max_tokens"]) == (0.5, 50)
        assert request.body["reasoning_effort"] == "low"


def test_stop_sequence_ends_the_answer(ask_chat: AskChat, chat_client: ChatClient) -> None:
    """A provider gets it; for the account's service, which has none, the relay applies it."""
    chat_client.deployment.upstream.reply(
        say("One, two, three." if chat_client.deployment.has_account else "One, ")
    )
    answer = ask_chat(stop=["two"])
    assert answer.choices[0].message.content == "One, "
    assert answer.choices[0].finish_reason == "stop"
    [request] = chat_client.deployment.upstream_requests
    assert request.body.get("stop") == (None if chat_client.deployment.has_account else ["two"])


def test_truncated_reply_has_its_finish_reason(chat_client: ChatClient) -> None:
    reason = "max_output_tokens" if chat_client.deployment.has_account else "length"
    for _ in range(2):
        chat_client.deployment.upstream.reply(say("So far and no"), Finish(reason))
    assert chat_client.create().choices[0].finish_reason == "length"
    with pytest.raises(LengthFinishReasonError):
        chat_client.client.chat.completions.parse(
            **chat_fields(chat_client.deployment, "Go on.", {}), response_format=Sum
        )


@FEW
def test_heartbeats_keep_a_patient_client(chat_client: ChatClient) -> None:
    """The client waits 1.1 s for each byte; the head and comments come before the reply."""
    chat_client.deployment.upstream.reply(say("Here I am."), delay=1.6)
    with chat_client.create(stream=True, timeout=1.1) as stream:
        pieces = [choice.delta.content or "" for chunk in stream for choice in chunk.choices]
    assert "".join(pieces) == "Here I am."


@FEW
def test_client_times_out(chat_client: ChatClient) -> None:
    """Before the relay's first heartbeat."""
    chat_client.deployment.upstream.reply(say("Never heard."), delay=20)
    with pytest.raises(APITimeoutError):
        chat_client.create(stream=True, timeout=0.2)
    posts = chat_client.deployment.upstream.posted_requests
    chat_client.deployment.upstream.wait_until(lambda: posts[0].client_left_at is not None, 2)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("file", ["gpt-5.5", "gpt-6.1-sol"]),
        ("vault", ["gpt-5.5", "gpt-6.1-sol"]),
        ("provider", ["fake-model", "gpt-5.5"]),
        ("both", ["fake-model", "gpt-5.5"]),
    ],
)
def test_models_are_listed(kind: str, expected: list[str], deployments: Deployments) -> None:
    """By base URL only: by proxy the request goes to OpenAI, as without the relay."""
    with connected_client(deployments.relay_named(kind), "base_url") as client:
        names = [model.id for model in client.models.list()]
        assert names[: len(expected)] == expected
        for name in names:
            assert client.models.retrieve(name).id == name
