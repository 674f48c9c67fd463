"""Which upstream serves a Chat client where an account and a provider are configured."""

import pytest
from openai import OpenAI

from tests.deployments import Deployments
from tests.replies import say
from tests.sdk.chats import WAYS, connected_client
from tests.sdk.wire import ConnectionMode


@pytest.mark.parametrize("mode", WAYS)
@pytest.mark.parametrize(
    ("requested", "upstream", "model", "effort", "tier"),
    [
        ("gpt-5.5", "provider", "gpt-5.5", None, None),  # the provider lists it
        ("fake-model", "provider", "fake-model", None, None),
        ("chatgpt/gpt-5.5", "backend", "gpt-5.5", None, None),
        ("gpt-6.1-sol", "backend", "gpt-6.1-sol", None, None),  # only the account lists it
        ("codex", "backend", "gpt-6.1-sol", None, None),
        ("codex-high", "backend", "gpt-6.1-sol", "high", None),
        ("gpt-6.1-sol-low-fast", "backend", "gpt-6.1-sol", "low", "priority"),
        ("chatgpt/gpt-5.5-xhigh", "backend", "gpt-5.5", "xhigh", None),
    ],
)
def test_model_name_decides_the_upstream(
    requested: str,
    upstream: str,
    model: str,
    effort: str | None,
    tier: str | None,
    mode: ConnectionMode,
    deployments: Deployments,
) -> None:
    fake = getattr(deployments, upstream)
    fake.reply(say("Here."))
    with connected_client(deployments.relay_named("both"), mode) as client:
        answer = client.chat.completions.create(
            model=requested, messages=[{"role": "user", "content": "Where?"}]
        )
    assert answer.choices[0].message.content == "Here."
    assert answer.model == requested
    body = fake.posted_requests[0].body
    assert body["model"] == model
    if upstream == "backend":
        assert (body["reasoning"].get("effort"), body.get("service_tier")) == (effort, tier)


@pytest.mark.parametrize("kind", ["file", "vault", "provider", "both"])
def test_clients_key_reaches_no_upstream(kind: str, deployments: Deployments) -> None:
    """Both fakes refuse all credentials but their own, and headers of the client."""
    fake = deployments.provider if kind in ("provider", "both") else deployments.backend
    fake.reply(say("Hi."))
    with connected_client(deployments.relay_named(kind), "base_url") as client:
        own: OpenAI = client.with_options(organization="org-x", project="proj-x")
        own.chat.completions.create(
            model="gpt-5.5", messages=[{"role": "user", "content": "Hi."}], user="me"
        )
    [request] = fake.posted_requests
    assert client.api_key not in str(request.headers)
    assert "org-x" not in str(request.headers)
