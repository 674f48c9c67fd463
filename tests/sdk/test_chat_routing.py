"""Where a Chat client's request goes, with an account and a provider configured: by its model."""

import pytest
from openai import OpenAI

from tests.house import Houses
from tests.replies import say
from tests.sdk.chats import WAYS, connected
from tests.sdk.wire import Way


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("asked", "at", "model", "effort", "tier"),
    [
        ("gpt-5.5", "provider", "gpt-5.5", None, None),  # which lists it
        ("fake-model", "provider", "fake-model", None, None),
        ("chatgpt/gpt-5.5", "backend", "gpt-5.5", None, None),
        ("gpt-6.1-sol", "backend", "gpt-6.1-sol", None, None),  # nobody else lists it
        ("codex", "backend", "gpt-6.1-sol", None, None),
        ("codex-high", "backend", "gpt-6.1-sol", "high", None),
        ("gpt-6.1-sol-low-fast", "backend", "gpt-6.1-sol", "low", "priority"),
        ("chatgpt/gpt-5.5-xhigh", "backend", "gpt-5.5", "xhigh", None),
    ],
)
def test_a_models_name(
    asked: str, at: str, model: str, effort: str | None, tier: str | None, way: Way, houses: Houses
) -> None:
    fake = getattr(houses, at)
    fake.reply(say("Here."))
    with connected(houses.relay("both"), way) as client:
        made = client.chat.completions.create(
            model=asked, messages=[{"role": "user", "content": "Where?"}]
        )
    assert made.choices[0].message.content == "Here."
    assert made.model == asked
    body = fake.chats[0].body
    assert body["model"] == model
    if at == "backend":
        assert (body["reasoning"].get("effort"), body.get("service_tier")) == (effort, tier)


@pytest.mark.parametrize("kind", ["file", "vault", "provider", "both"])
def test_the_clients_key_goes_nowhere(kind: str, houses: Houses) -> None:
    """Both fakes refuse any credentials but their own, and headers that came from elsewhere."""
    fake = houses.provider if kind in ("provider", "both") else houses.backend
    fake.reply(say("Hi."))
    with connected(houses.relay(kind), "base_url") as client:
        own: OpenAI = client.with_options(organization="org-x", project="proj-x")
        own.chat.completions.create(
            model="gpt-5.5", messages=[{"role": "user", "content": "Hi."}], user="me"
        )
    [asked] = fake.chats
    assert client.api_key not in str(asked.headers)
    assert "org-x" not in str(asked.headers)
