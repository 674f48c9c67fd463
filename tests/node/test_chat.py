"""Chat Completions as the official SDK for Node gets them."""

import base64
import json
from typing import Any

import pytest

from tests.codex.conftest import PIXEL
from tests.deployments import Deployment, Deployments
from tests.fake_backend import usage_limit
from tests.node.conftest import INSTALLED, PACKAGES, Node
from tests.replies import CUT, call, error, pause, say, think

PICTURE = f"data:image/png;base64,{base64.b64encode(PIXEL.read_bytes()).decode()}"
SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": False,
}


@pytest.fixture(params=["file", "provider"])
def deployment(request: pytest.FixtureRequest, deployments: Deployments) -> Deployment:
    return deployments.deployment(request.param)


def chat(node: Node, deployment: Deployment, name: str, **fields: Any) -> Any:
    base = f"{deployment.relay.url}/v1"
    result = node.run_script("chat.mjs", base=base, model=deployment.model, name=name, **fields)
    return result.get("result") or result["error"]


@pytest.mark.parametrize("package", PACKAGES)
def test_installed_version_is_the_pinned_one(package: str, node: Node) -> None:
    installed = json.loads((INSTALLED / package / "package.json").read_text())
    assert installed["version"] == PACKAGES[package]


def test_whole_answer_has_text_reasoning_and_usage(node: Node, deployment: Deployment) -> None:
    deployment.upstream.reply(think("Hm."), say("A pixel — ¡olé! 🎉"))
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    parts = [{"type": "text", "text": "What is this?"}, picture]
    answer = chat(
        node, deployment, "create", fields={"messages": [{"role": "user", "content": parts}]}
    )
    [choice] = answer["choices"]
    assert choice["message"]["content"] == "A pixel — ¡olé! 🎉"
    assert choice["message"]["reasoning_content"] == "Hm."
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 100
    [request] = deployment.upstream_requests
    assert (request.prompt, request.pictures) == ("What is this?", [PICTURE])


def test_stream_adds_up_to_the_answer(node: Node, deployment: Deployment) -> None:
    longer_than_a_heartbeat = pause(0.8)
    deployment.upstream.reply(say("One, "), longer_than_a_heartbeat, say("two, three."))
    *chunks, last = chat(node, deployment, "stream")
    pieces = [
        choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]
    ]
    assert (
        "".join(pieces).replace("\n", "") == "One, two, three."
        and len(list(filter(None, pieces))) > 1
    )
    assert last["choices"] == [] and last["usage"]["total_tokens"] == 150
    deployment.upstream.reply(say("Count me."))
    result = chat(node, deployment, "helper")
    text = result["final"]["choices"][0]["message"]["content"]
    assert text == "".join(result["deltas"]) == "Count me."


@pytest.mark.parametrize("streaming", [False, True])
def test_tools_run_in_a_loop(streaming: bool, node: Node, deployment: Deployment) -> None:
    """First with the usual fields of each message, then with whole messages."""
    for whole in (False, True):
        deployment.upstream.reply(
            think("Two."), call("weather", city="Oslo"), call("weather", city="Rome")
        )
        deployment.upstream.reply(think("One more."), call("weather", city="Lima"))
        deployment.upstream.reply(say("Rain."))
        result = chat(
            node, deployment, "loop", streaming=streaming, whole=whole, prompt=f"Go {whole}."
        )
        assert result == {"content": "Rain.", "finish_reason": "stop", "turns": 3}
        last = deployment.upstream_requests[-1]
        assert last.outputs == ["rain in Oslo", "rain in Rome", "rain in Lima"]
        if deployment.has_account:
            types = [item["type"] for item in last.body["input"]]
            assert types.count("reasoning") == 2


def test_sdk_runs_tools_itself(node: Node, deployment: Deployment) -> None:
    for streaming in (False, True):
        deployment.upstream.reply(call("weather", city="Oslo"))
        deployment.upstream.reply(say("Rain."))
        result = chat(node, deployment, "runner", streaming=streaming, prompt=f"Go {streaming}.")
        assert result == {"content": "Rain."}
        assert deployment.upstream_requests[-1].outputs == ["rain in Oslo"]


def test_json_schema_reaches_the_upstream(node: Node, deployment: Deployment) -> None:
    deployment.upstream.reply(say('{"total": 3}'))
    form = {"name": "sum", "strict": True, "schema": SCHEMA}
    fields = {"response_format": {"type": "json_schema", "json_schema": form}}
    answer = chat(node, deployment, "create", fields=fields)
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"total": 3}
    [request] = deployment.upstream_requests
    if deployment.has_account:
        assert request.body["text"]["format"] == {"type": "json_schema", **form}
    else:
        assert request.body["response_format"] == fields["response_format"]


def test_models_are_listed(node: Node, deployment: Deployment) -> None:
    result = chat(node, deployment, "models")
    assert "gpt-5.5" in result["ids"]
    assert result["one"]["id"] == result["ids"][0] and result["one"]["object"] == "model"


def test_errors_are_typed(node: Node, deployments: Deployments) -> None:
    home, other = deployments.deployment("provider"), deployments.deployment("file")
    error_fields = chat(node, home, "create", fields={"n": 2})
    assert (error_fields["name"], error_fields["param"]) == ("BadRequestError", "n")
    error_fields = chat(node, home, "create", fields={"model": "chatgpt/gpt-5.5"})
    assert (error_fields["name"], error_fields["code"]) == ("AuthenticationError", "no_account")
    for problem, name in [
        (error(400, "bad value"), "BadRequestError"),
        (error(429, "slower", retry_after=7), "RateLimitError"),
        (error(503, "busy"), "InternalServerError"),
    ]:
        home.upstream.reply(problem)
        error_fields = chat(node, home, "stream")
        assert (error_fields["name"], str(problem.status) in error_fields["message"]) == (
            name,
            True,
        )
    other.upstream.reply(say("Half a sen"), pause(0.02), CUT)
    assert chat(node, other, "stream")["name"] == "APIError"


def test_usage_limit_is_a_rate_limit_error(node: Node, deployments: Deployments) -> None:
    home = deployments.deployment("vault")
    home.upstream.reply(usage_limit(resets_in=600))
    try:
        error_fields = chat(node, home, "stream")
    finally:
        deployments.renew_login(home.relay)
    assert (error_fields["name"], error_fields["type"]) == ("RateLimitError", "usage_limit_reached")
    assert 590 <= error_fields["body"]["resets_in_seconds"] <= 600
