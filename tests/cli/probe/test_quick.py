"""The doctor's lines about an endpoint."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from addons.config.config_file import builtin_providers
from addons.routing import KeyOrigin
from scripts.cli.probe import Endpoint, QuickFinding, quick_checks
from tests.cli.probe.measured_provider import (
    Character,
    MeasuredProvider,
    running_measured_provider,
)
from tests.replies import OPENAI

NAMES = ["streaming", "tool call", "parallel calls", "reasoning", "image", "context window"]


@pytest.fixture
def server() -> Iterator[MeasuredProvider]:
    with running_measured_provider() as provider:
        provider.use_rules("groq")
        yield provider


def endpoint_at(server: MeasuredProvider, key: str | None = None) -> Endpoint:
    generic = builtin_providers()["generic"]
    origin = KeyOrigin("BOX_KEY", ("BOX_KEY",))
    return Endpoint(server.url, generic, "", key or server.key, key_origin=origin)


def check(endpoint: Endpoint) -> dict[str, QuickFinding]:
    return {finding.name: finding for finding in quick_checks(endpoint, 10)}


def test_endpoint_that_does_all_passes_with_few_requests(server: MeasuredProvider) -> None:
    server.use_rules("groq", reasoning_fields={"reasoning_content"})
    findings = check(endpoint_at(server))
    assert list(findings) == NAMES
    assert {finding.status for name, finding in findings.items() if name != NAMES[-1]} == {"pass"}
    assert findings["context window"].text.startswith(
        "131,072 tokens, by what it said of a longer request"
    )
    assert len(server.requests) == 8


def test_model_without_tools_fails_and_blindness_warns(server: MeasuredProvider) -> None:
    server.use_rules("cerebras", refused={"tools", "max_tokens"})
    server.character = Character(OPENAI, thinks=False, window=32_768)
    findings = check(endpoint_at(server))
    assert {name: finding.status for name, finding in findings.items()} == {
        "streaming": "pass",
        "tool call": "fail",
        "parallel calls": "warn",
        "reasoning": "warn",
        "image": "warn",
        "context window": "warn",
    }
    assert findings["tool call"].next_step.startswith("choose a model that can call tools")
    assert "images = false" in findings["image"].next_step
    assert "the relay assumes 128,000" in findings["context window"].text


def test_thinking_that_must_go_back_passes(server: MeasuredProvider) -> None:
    server.use_rules("deepseek")
    finding = check(endpoint_at(server))["reasoning"]
    assert (finding.status, finding.text) == (
        "pass",
        "thinking comes as reasoning_content, and the result of a tool is answered",
    )


def test_known_blindness_is_no_warning(server: MeasuredProvider) -> None:
    endpoint = replace(endpoint_at(server), provider=builtin_providers()["deepseek"])
    finding = check(endpoint)["image"]
    assert (finding.status, finding.next_step) == ("pass", "")


def test_wrong_key_is_one_failure_with_the_place_of_the_key(server: MeasuredProvider) -> None:
    findings = check(endpoint_at(server, "wrong"))
    assert list(findings) == ["streaming"]
    assert findings["streaming"].status == "fail"
    assert findings["streaming"].next_step == "check the key in BOX_KEY"


def test_named_model_is_asked_although_the_list_is_refused(server: MeasuredProvider) -> None:
    findings = check(replace(endpoint_at(server, "wrong"), model="model-one"))
    assert list(findings) == ["streaming"]
    assert findings["streaming"].status == "fail"
    assert findings["streaming"].next_step == "check the key in BOX_KEY"


def test_endpoint_of_the_other_dialect_is_not_measured(server: MeasuredProvider) -> None:
    responses = replace(endpoint_at(server), provider=builtin_providers()["openai"])
    [finding] = quick_checks(responses)
    assert (finding.status, server.requests) == ("warn", [])


def test_closed_port_is_one_failure() -> None:
    generic = builtin_providers()["generic"]
    [finding] = quick_checks(Endpoint("http://127.0.0.1:1/v1", generic))
    assert finding.status == "fail"
    assert "nothing listens at http://127.0.0.1:1" in finding.text
