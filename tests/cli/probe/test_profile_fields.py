"""What the probes measure at strict fakes is what providers.toml says of the real providers."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from addons.config.config_file import builtin_providers
from scripts.cli.probe.client import EndpointClient
from scripts.cli.probe.endpoint import Endpoint
from scripts.cli.probe.findings import Finding, Measurements
from scripts.cli.probe.probes import ALL_PROBES
from scripts.cli.probe.profile_fields import (
    DECISIONS,
    changed_fields,
    comparable_value,
    measured_fields,
    nearest_effort,
)
from scripts.cli.probe.session import ProbeSession
from tests.cli.probe.measured_provider import (
    Character,
    MeasuredProvider,
    running_measured_provider,
)
from tests.replies import DEEPSEEK, GEMINI, MINIMAX, MISTRAL, OLLAMA, OPENAI
from translate import Provider

PROBES = [probe for probe in ALL_PROBES if not probe.option]
NO_EFFORT: frozenset[str] = frozenset()
JSON_OBJECT = frozenset({"json_object"})

# Provider → how its models behave beyond the rules, and the fields in which the measured profile
# must equal the built-in one. The others are choices of the relay's, such as the better one of two
# accepted fields, or facts of single models.
MEASURED_PROVIDERS: dict[str, tuple[Character, tuple[str, ...]]] = {
    "azure": (
        Character(OPENAI, thinks=False),
        ("system_role", "late_system_role", "max_tokens", "description_limit", "images"),
    ),
    "deepseek": (
        Character(DEEPSEEK, formats=JSON_OBJECT),
        ("reasoning_back", "late_system_role", "system_role", "images", "strict", "formats"),
    ),
    "qwen": (Character(needs_parallel=True), ("one_call", "image_types", "stream_options")),
    "mistral": (
        Character(MISTRAL, efforts=NO_EFFORT),
        ("stream_options", "reasoning_back", "quirks", "max_tokens", "refuses", "takes"),
    ),
    "groq": (Character(OLLAMA, efforts=NO_EFFORT), ("refuses", "reasoning_back", "tool_choices")),
    "xai": (Character(efforts=NO_EFFORT), ("refuses", "image_types", "reasoning_back", "strict")),
    "glm": (
        Character(formats=JSON_OBJECT),
        ("tool_choices", "strict", "formats", "images", "refuses", "max_tokens"),
    ),
    "minimax": (Character(MINIMAX), ("max_tokens", "strict", "late_system_role", "system_role")),
    "gemini": (Character(GEMINI, thinks=False), ("refuses", "strict", "tool_choices")),
    "ollama": (Character(OLLAMA, choices_work=False), ("tool_choices", "image_types")),
    "llamacpp": (Character(), ("tool_choices", "image_types", "late_system_role")),
    "cerebras": (
        Character(OLLAMA),
        ("max_tokens", "reasoning_back", "strict", "images", "refuses"),
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[MeasuredProvider]:
    with running_measured_provider() as provider:
        yield provider


def measure(server: MeasuredProvider, provider: Provider | None = None) -> Measurements:
    profile = provider or builtin_providers()["generic"]
    endpoint = Endpoint(server.url, profile, "model-one", server.key)
    with EndpointClient(endpoint, 10) as client:
        session = ProbeSession(endpoint, client)
        session.choose_model()
        list(session.run_probes(PROBES))
    assert session.requests == len(server.requests) <= 80
    return session.measurements


@pytest.mark.parametrize("name", MEASURED_PROVIDERS)
def test_measured_profile_is_the_built_in_one(name: str, server: MeasuredProvider) -> None:
    character, fields = MEASURED_PROVIDERS[name]
    server.reset()
    server.use_rules(name)
    server.character = character
    measured = measured_fields(measure(server))
    generic = builtin_providers()["generic"].model_dump(mode="json")
    built_in = builtin_providers()[name].model_dump(mode="json")
    assert {field: comparable_value(measured.get(field, generic[field])) for field in fields} == {
        field: comparable_value(built_in[field]) for field in fields
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kimi", {"one_type"}),
        ("gemini", {"one_type", "nullable"}),
        ("vllm", None),
    ],
)
def test_schema_subset_has_the_accepted_keywords(
    name: str, expected: set[str] | None, server: MeasuredProvider
) -> None:
    server.reset()
    server.use_rules(name)
    subset = measured_fields(measure(server)).get("subset")
    if expected is None:
        assert subset is None
        return
    assert subset is not None and server.rules.keywords is not None
    assert set(subset["keywords"]) <= server.rules.keywords
    assert "enum" in subset["keywords"] and "const" not in subset["keywords"]
    assert {key for key, value in subset.items() if value is True} == expected


def test_plain_server_needs_no_table(server: MeasuredProvider) -> None:
    """Each request of the probes is one that it serves, and the generic profile is right for it."""
    server.reset()
    server.use_rules("vllm", fields={"logit_bias"}, system_first=True)
    measured = measure(server)
    assert [name for name in measured.findings if measured.is_refused(name)] == [
        "unknown field",
        "developer role",
        "late system",
        *("prompt_cache_key", "service_tier", "metadata", "safety_identifier", "verbosity"),
        *("unknown model", "limit above the window"),
    ]
    generic = builtin_providers()["generic"]
    assert changed_fields(measured_fields(measured), generic) == {
        "takes": ["user"],
        "context_window": 131_072,
    }


def test_server_that_refuses_small_limits_is_asked_with_larger_ones(
    server: MeasuredProvider,
) -> None:
    server.reset()
    server.use_rules("vllm", fields={"logit_bias"})
    server.character = Character(least_limit=32)
    measured = measure(server)
    assert measured.is_refused("limit of 16 tokens")
    assert "refuses" not in changed_fields(measured_fields(measured), measured.endpoint.profile)
    assert measured.verdict("strict") == "accepted"


def test_known_provider_is_corrected_where_it_differs(server: MeasuredProvider) -> None:
    server.reset()
    server.use_rules("glm", images=True, refused={"seed"}, fields={"logit_bias"})
    glm = builtin_providers()["glm"]
    changed = changed_fields(measured_fields(measure(server, glm)), glm)
    assert changed["images"] is True
    assert changed["refuses"] == ["seed"]
    assert "efforts" not in changed  # its table expresses them with other fields


def test_refused_efforts_become_the_nearest_accepted(server: MeasuredProvider) -> None:
    server.reset()
    server.use_rules("vllm")
    server.character = Character(efforts=frozenset({"none", "low", "high"}))
    assert measured_fields(measure(server))["efforts"] == {
        "minimal": "low",
        "medium": "low",
        "xhigh": "high",
        "max": "high",
        "ultra": "high",
    }
    assert nearest_effort("none", ["low", "high"]) == "low"


def test_refusal_of_optional_strict_fields_closes_the_schema(server: MeasuredProvider) -> None:
    server.reset()
    server.use_rules("vllm")
    server.character = Character(optional_strict=False)
    assert measured_fields(measure(server))["strict"] == {"closed": True}


def test_model_that_calls_no_tool_says_nothing_of_tool_choices(server: MeasuredProvider) -> None:
    server.reset()
    server.use_rules("lmstudio")
    server.character = Character(calls_at_once=0)
    measured = measure(server)
    assert measured.verdict("tool_choice required") == "ignored"
    assert measured_fields(measured)["tool_choices"] == ["none", "required"]


def test_served_parameter_shows_little_where_unknown_fields_pass(server: MeasuredProvider) -> None:
    server.reset()
    server.use_rules("vllm", fields={"logit_bias", "mitmcodex_probe", "prompt_cache_key"})
    measured = measure(server)
    assert measured.findings["seed"].evidence.endswith("; but unknown fields pass, too")
    assert measured_fields(measured)["takes"] == []


def test_what_a_model_did_not_do_decides_nothing() -> None:
    endpoint = Endpoint("http://localhost:1/v1", builtin_providers()["generic"], "m")
    measured = Measurements(endpoint)
    for probe in PROBES:
        measured.findings[probe.name] = Finding(probe.name, probe.group, "not measured", "")
    assert measured_fields(measured) == {}
    for name in ("image/png", "parallel calls", "tool call"):
        measured.findings[name] = replace(measured.findings[name], verdict="not seen")
    assert measured_fields(measured) == {}


def test_each_decision_is_a_field_of_the_profile() -> None:
    assert DECISIONS.keys() <= Provider.model_fields.keys()


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (["b", "a"], ["a", "b"], True),
        ({"closed": True}, {"closed": True, "keywords": None, "one_type": False}, True),
        ({"closed": True}, {"closed": False}, False),
        (False, {}, False),
    ],
)
def test_values_compare_without_order_and_defaults(first: Any, second: Any, equal: bool) -> None:
    assert (comparable_value(first) == comparable_value(second)) is equal
