"""Model names with suffixes mean an effort or a tier, and override the client's body."""

import json
from typing import Any

import pytest

from tests.translate.support import ACCOUNT, PROVIDERS
from translate import ExchangeContext, ModelVariant, parse_variant, start_exchange

MODELS = ("gpt-5.5", "gpt-5.1-codex-high", "o3-fast")
ALIASES = {"codex": "gpt-5.5", "codex-mini": "gpt-6-luna"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-5.5", ModelVariant("gpt-5.5")),
        ("gpt-5.5-low", ModelVariant("gpt-5.5", "low")),
        ("gpt-5.5-medium", ModelVariant("gpt-5.5", "medium")),
        ("gpt-5.5-xhigh", ModelVariant("gpt-5.5", "xhigh")),
        ("gpt-5.5-fast", ModelVariant("gpt-5.5", None, "priority")),
        ("gpt-5.5-high-fast", ModelVariant("gpt-5.5", "high", "priority")),
        ("gpt-5.5-fast-high", ModelVariant("gpt-5.5", "high", "priority")),
        ("codex", ModelVariant("gpt-5.5")),
        ("codex-mini", ModelVariant("gpt-6-luna")),
        ("codex-mini-high", ModelVariant("gpt-6-luna", "high")),
        ("gpt-5.1-codex-high", ModelVariant("gpt-5.1-codex-high")),
        ("gpt-5.1-codex-high-low", ModelVariant("gpt-5.1-codex-high", "low")),
        ("o3-fast", ModelVariant("o3-fast")),
        ("o3-high-fast", None),
        ("gpt-5.5-high-low", None),
        ("gpt-5.5-fast-fast", None),
        ("gpt-5.5-huge", None),
        ("-high", None),
        ("high", None),
        ("", None),
    ],
)
def test_name_is_read_with_its_suffixes(name: str, expected: ModelVariant | None) -> None:
    assert parse_variant(name, MODELS, ALIASES) == expected


def test_account_has_models_and_aliases() -> None:
    assert ACCOUNT.aliases.keys() == {"codex", "codex-mini"}
    assert set(ACCOUNT.aliases.values()) <= set(ACCOUNT.known_models)
    assert parse_variant("codex-fast", ACCOUNT.known_models, ACCOUNT.aliases) == ModelVariant(
        ACCOUNT.known_models[0], None, "priority"
    )


def sent_body(body: dict[str, Any], variant: ModelVariant | None) -> dict[str, Any]:
    context = ExchangeContext(
        provider=ACCOUNT, model="gpt-5.5", response_id="resp_1", created_at=1, variant=variant
    )
    exchange = start_exchange(
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body},
        client="chat",
        context=context,
    )
    return json.loads(exchange.body)  # type: ignore[no-any-return]  # an object


def test_name_overrides_the_body() -> None:
    body = {"reasoning_effort": "low", "reasoning": {"summary": "detailed"}, "service_tier": "flex"}
    body_sent = sent_body(body, ModelVariant("gpt-5.5", "xhigh", "priority"))
    assert body_sent["reasoning"] == {"effort": "xhigh", "summary": "detailed"}
    assert body_sent["service_tier"] == "priority"
    body_sent = sent_body(body, ModelVariant("gpt-5.5"))
    assert (body_sent["reasoning"]["effort"], body_sent["service_tier"]) == ("low", "flex")
    assert sent_body({}, ModelVariant("gpt-5.5", "high"))["reasoning"]["effort"] == "high"


def test_no_other_provider_has_aliases() -> None:
    for provider in PROVIDERS.values():
        assert provider.name == "chatgpt" or not (provider.aliases or provider.session_header)
