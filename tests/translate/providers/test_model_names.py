"""Model names with suffixes: what they mean, and that they overrule the client's body."""

import json
from typing import Any

import pytest

from tests.translate.support import ACCOUNT, PROVIDERS
from translate import Variant, Way, exchange, variant

LISTED = ("gpt-5.5", "gpt-5.1-codex-high", "o3-fast")
ALIASES = {"codex": "gpt-5.5", "codex-mini": "gpt-6-luna"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gpt-5.5", Variant("gpt-5.5")),
        ("gpt-5.5-low", Variant("gpt-5.5", "low")),
        ("gpt-5.5-medium", Variant("gpt-5.5", "medium")),
        ("gpt-5.5-xhigh", Variant("gpt-5.5", "xhigh")),
        ("gpt-5.5-fast", Variant("gpt-5.5", None, "priority")),
        ("gpt-5.5-high-fast", Variant("gpt-5.5", "high", "priority")),
        ("gpt-5.5-fast-high", Variant("gpt-5.5", "high", "priority")),
        ("codex", Variant("gpt-5.5")),
        ("codex-mini", Variant("gpt-6-luna")),
        ("codex-mini-high", Variant("gpt-6-luna", "high")),
        ("gpt-5.1-codex-high", Variant("gpt-5.1-codex-high")),
        ("gpt-5.1-codex-high-low", Variant("gpt-5.1-codex-high", "low")),
        ("o3-fast", Variant("o3-fast")),
        ("o3-high-fast", None),
        ("gpt-5.5-high-low", None),
        ("gpt-5.5-fast-fast", None),
        ("gpt-5.5-huge", None),
        ("-high", None),
        ("high", None),
        ("", None),
    ],
)
def test_what_a_name_means(name: str, meant: Variant | None) -> None:
    assert variant(name, LISTED, ALIASES) == meant


def test_the_account_knows_its_models_and_aliases() -> None:
    assert ACCOUNT.aliases.keys() == {"codex", "codex-mini"}
    assert set(ACCOUNT.aliases.values()) <= set(ACCOUNT.known_models)
    assert variant("codex-fast", ACCOUNT.known_models, ACCOUNT.aliases) == Variant(
        ACCOUNT.known_models[0], None, "priority"
    )


def sent(body: dict[str, Any], wanted: Variant | None) -> dict[str, Any]:
    way = Way(provider=ACCOUNT, model="gpt-5.5", id="resp_1", now=1, variant=wanted)
    made = exchange(
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **body},
        client="chat",
        way=way,
    )
    return json.loads(made.body)  # type: ignore[no-any-return]  # an object


def test_the_name_overrules_the_body() -> None:
    body = {"reasoning_effort": "low", "reasoning": {"summary": "detailed"}, "service_tier": "flex"}
    made = sent(body, Variant("gpt-5.5", "xhigh", "priority"))
    assert made["reasoning"] == {"effort": "xhigh", "summary": "detailed"}
    assert made["service_tier"] == "priority"
    made = sent(body, Variant("gpt-5.5"))
    assert (made["reasoning"]["effort"], made["service_tier"]) == ("low", "flex")
    assert sent({}, Variant("gpt-5.5", "high"))["reasoning"]["effort"] == "high"


def test_no_other_provider_has_such_things() -> None:
    for provider in PROVIDERS.values():
        assert provider.name == "chatgpt" or not (provider.aliases or provider.session_header)
