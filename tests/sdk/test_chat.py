"""Chat Completions as the official SDK sees them: on an account, on a Chat provider, on both."""

import base64
from typing import Any

import pytest
from openai import APITimeoutError, LengthFinishReasonError
from pydantic import BaseModel

from tests.codex.conftest import PIXEL
from tests.house import Houses
from tests.replies import Finish, pause, say, think
from tests.sdk.chats import Answer, Desk, asking, at, connected

PICTURE = f"data:image/png;base64,{base64.b64encode(PIXEL.read_bytes()).decode()}"
# For what takes time.
FEW = at("vault by proxy", "provider by base_url")


class Sum(BaseModel):
    total: int
    steps: list[str]


def test_text(answer: Answer, desk: Desk) -> None:
    desk.home.fake.reply(think("Greet."), say("Hello,\nworld — ¡olé! 🎉"))
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi."}]
    made = answer(messages=messages)
    [choice] = made.choices
    assert choice.message.content == "Hello,\nworld — ¡olé! 🎉"
    assert getattr(choice.message, "reasoning_content", None) == "Greet."
    assert choice.finish_reason == "stop"
    assert made.model == desk.home.model
    [asked] = desk.home.asked
    assert (asked.system, asked.prompt) == ("Be kind.", "Hi.")
    assert made.usage and made.usage.prompt_tokens_details and made.usage.completion_tokens_details
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (120, 30)
    assert made.usage.prompt_tokens_details.cached_tokens == 100
    assert made.usage.completion_tokens_details.reasoning_tokens == 10


@pytest.mark.parametrize("wanted", [True, False, None])
def test_chunks(wanted: bool | None, desk: Desk) -> None:
    desk.home.fake.reply(think("Hm."), say("One, two, three."))
    options = {} if wanted is None else {"stream_options": {"include_usage": wanted}}
    with desk.create("Count.", stream=True, **options) as stream:
        chunks = list(stream)
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    told = [delta.content for delta in deltas if delta.content]
    assert "".join(told) == "One, two, three." and len(told) > 1
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hm."
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    if wanted:
        assert chunks[-1].choices == [] and usages == [chunks[-1].usage]
        assert chunks[-1].usage.total_tokens == 150
    else:
        assert usages == []


@FEW
def test_the_helpers_events(desk: Desk) -> None:
    """With heartbeats between them, which are comments and no events."""
    desk.home.fake.reply(say("One, "), pause(0.7), say("two."))
    fields = asking(desk.home, "Count.", {})
    with desk.client.chat.completions.stream(**fields) as stream:
        events: list[Any] = list(stream)
    text = [event.delta for event in events if event.type == "content.delta"]
    done = [event.content for event in events if event.type == "content.done"]
    assert done == ["".join(text)]
    assert done[0].replace("\n", "") == "One, two."


def test_parsed(desk: Desk) -> None:
    completions, fields = desk.client.chat.completions, asking(desk.home, "1 + 2?", {})
    desk.home.fake.reply(think("Easy."), say('{"total": 3, "steps": ["one", "two"]}'))
    parsed = completions.parse(**fields, response_format=Sum)
    assert parsed.choices[0].message.parsed == Sum(total=3, steps=["one", "two"])
    desk.home.fake.reply(say('{"total": 4, "steps": []}'))
    with completions.stream(**fields, response_format=Sum) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Sum(total=4, steps=[])
    for asked in desk.home.asked:
        body = asked.body
        form = body["text"]["format"] if desk.home.account else body["response_format"]
        form = form.get("json_schema", form)
        assert (form["name"], form["strict"]) == ("Sum", True)
        assert form["schema"]["required"] == ["total", "steps"]


def test_pictures(answer: Answer, desk: Desk) -> None:
    desk.home.fake.reply(say("A pixel, twice."))
    picture = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}}
    parts = [{"type": "text", "text": "What are these?"}, picture, picture]
    made = answer(messages=[{"role": "user", "content": parts}])
    assert made.choices[0].message.content == "A pixel, twice."
    [asked] = desk.home.asked
    assert asked.prompt == "What are these?"
    assert asked.pictures == [PICTURE, PICTURE]


def test_a_conversation(answer: Answer, desk: Desk) -> None:
    """The message goes back as the SDK has it, an object with all that came."""
    desk.home.fake.reply(think("A name."), say("Ada."))
    desk.home.fake.reply(say("You said it was Ada."))
    messages: list[Any] = [{"role": "user", "content": "Give me a name."}]
    messages.append(answer(messages=messages).choices[0].message)
    messages.append({"role": "user", "content": "Which name?"})
    assert answer(messages=messages).choices[0].message.content == "You said it was Ada."
    body = desk.home.asked[1].body
    said = body["input"] if desk.home.account else body["messages"]
    roles = [one.get("role", one.get("type")) for one in said]
    assert roles == (["user", "reasoning", "assistant", "user"] if desk.home.account
                     else ["user", "assistant", "user"])  # fmt: skip


def test_parameters(desk: Desk) -> None:
    """What an account's service refuses is told; a provider gets it."""
    desk.home.fake.reply(say("Hi."))
    completions = desk.client.chat.completions.with_raw_response
    fields = {"temperature": 0.5, "max_completion_tokens": 50, "reasoning_effort": "low"}
    raw = completions.create(**asking(desk.home, "Hello.", fields))
    assert raw.parse().choices[0].message.content == "Hi."
    [asked] = desk.home.asked
    if desk.home.account:
        assert raw.headers["x-relay-provider"] == "chatgpt"
        assert {"temperature", "max_completion_tokens"} == {
            *raw.headers["x-relay-dropped"].replace(" ", "").split(",")
        }
        assert asked.body["reasoning"]["effort"] == "low"
    else:
        assert raw.headers["x-relay-provider"] == "generic"
        assert "x-relay-dropped" not in raw.headers
        assert (asked.body["temperature"], asked.body["max_tokens"]) == (0.5, 50)
        assert asked.body["reasoning_effort"] == "low"


def test_a_stop_sequence(answer: Answer, desk: Desk) -> None:
    """A provider gets it; the account's service knows none, so the relay looks out for it."""
    desk.home.fake.reply(say("One, two, three." if desk.home.account else "One, "))
    made = answer(stop=["two"])
    assert made.choices[0].message.content == "One, "
    assert made.choices[0].finish_reason == "stop"
    [asked] = desk.home.asked
    assert asked.body.get("stop") == (None if desk.home.account else ["two"])


def test_a_reply_that_is_cut_short(desk: Desk) -> None:
    reason = "max_output_tokens" if desk.home.account else "length"
    for _ in range(2):
        desk.home.fake.reply(say("So far and no"), Finish(reason))
    assert desk.create().choices[0].finish_reason == "length"
    with pytest.raises(LengthFinishReasonError):
        desk.client.chat.completions.parse(**asking(desk.home, "Go on.", {}), response_format=Sum)


@FEW
def test_heartbeats_keep_a_patient_client(desk: Desk) -> None:
    """It waits 0.6 s for each byte; the head and comments come before the reply does."""
    desk.home.fake.reply(say("Here I am."), before=1)
    with desk.create(stream=True, timeout=0.6) as stream:
        told = [choice.delta.content or "" for chunk in stream for choice in chunk.choices]
    assert "".join(told) == "Here I am."


@FEW
def test_a_client_that_loses_patience(desk: Desk) -> None:
    """Before the relay's first sign of life."""
    desk.home.fake.reply(say("Never heard."), before=20)
    with pytest.raises(APITimeoutError):
        desk.create(stream=True, timeout=0.2)
    posts = desk.home.fake.chats
    desk.home.fake.wait_for(lambda: posts[0].gone is not None, 2)


@pytest.mark.parametrize(
    ("kind", "listed"),
    [
        ("file", ["gpt-5.5", "gpt-6.1-sol"]),
        ("vault", ["gpt-5.5", "gpt-6.1-sol"]),
        ("provider", ["fake-model", "gpt-5.5"]),
        ("both", ["fake-model", "gpt-5.5"]),
    ],
)
def test_models(kind: str, listed: list[str], houses: Houses) -> None:
    """By base URL: by proxy this question goes to OpenAI, as it does without us."""
    with connected(houses.relay(kind), "base_url") as client:
        found = [model.id for model in client.models.list()]
        assert found[: len(listed)] == listed
        for name in found:
            assert client.models.retrieve(name).id == name
