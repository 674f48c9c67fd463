"""Vercel's AI SDK before the relay, in both of the dialects that it speaks."""

import json
from typing import Any

import pytest

from tests.deployments import Deployment, Deployments
from tests.node.conftest import Node
from tests.replies import call, error, pause, say, think


@pytest.fixture(params=["file", "provider"])
def deployment(request: pytest.FixtureRequest, deployments: Deployments) -> Deployment:
    return deployments.deployment(request.param)


@pytest.fixture(params=["chat", "responses"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(node: Node, deployment: Deployment, dialect: str, name: str, **fields: Any) -> Any:
    base, model = f"{deployment.relay.url}/v1", deployment.model
    fields = {"prompt": "Hello?"} | fields
    result = node.run_script("ai.mjs", base=base, model=model, dialect=dialect, name=name, **fields)
    return result["result"] if "result" in result else result["error"]


def test_answer_has_text_and_usage(node: Node, deployment: Deployment, dialect: str) -> None:
    deployment.upstream.reply(think("Hm."), say("Hello — ¡olé!"))
    answer = ask(node, deployment, dialect, "answer")
    assert (answer["text"], answer["inputTokens"]) == ("Hello — ¡olé!", 120)
    assert deployment.upstream_requests[0].prompt == "Hello?"


def test_stream_adds_up(node: Node, deployment: Deployment, dialect: str) -> None:
    longer_than_a_heartbeat = pause(0.8)
    deployment.upstream.reply(think("Hm."), longer_than_a_heartbeat, say("One, two, three."))
    deltas = ask(node, deployment, dialect, "stream")
    assert "".join(deltas) == "One, two, three." and len(deltas) > 1


@pytest.mark.parametrize("name", ["loop", "streamedLoop"])
def test_tools_run_in_a_loop(name: str, node: Node, deployment: Deployment, dialect: str) -> None:
    deployment.upstream.reply(
        think("Two."), call("weather", city="Oslo"), call("weather", city="Rome")
    )
    deployment.upstream.reply(think("One more."), call("weather", city="Lima"))
    deployment.upstream.reply(say("Rain."))
    assert ask(node, deployment, dialect, name) == {"text": "Rain.", "steps": 3}
    last = deployment.upstream_requests[-1]
    assert last.outputs == ["rain in Oslo", "rain in Rome", "rain in Lima"]
    assert last.prompt == "Hello?"


def test_conversation_keeps_the_words_of_the_model(
    node: Node, deployment: Deployment, dialect: str
) -> None:
    """Of its own answers, the SDK sends item references by default, from the second turn on."""
    deployment.upstream.reply(think("A city."), say("Oslo, then."))
    deployment.upstream.reply(call("weather", city="Oslo"))
    deployment.upstream.reply(say("Rain."))
    deployment.upstream.reply(say("Because of the sea."))
    prompts = ["Name a city.", "Its weather?", "Why?"]
    answers = ask(node, deployment, dialect, "conversation", prompts=prompts)
    assert answers == ["Oslo, then.", "Rain.", "Because of the sea."]
    last = deployment.upstream_requests[-1]
    assert last.outputs == ["rain in Oslo"]
    body = json.dumps(last.body)
    assert "Oslo, then." in body and "item_reference" not in body and "Why?" in body


def test_conversation_without_storage_sends_whole_items(node: Node, deployment: Deployment) -> None:
    deployment.upstream.reply(think("A city."), say("Oslo, then."))
    deployment.upstream.reply(say("Rain."))
    options = {"store": False, "include": ["reasoning.encrypted_content"]}
    prompts = ["Name a city.", "Its weather?"]
    answers = ask(node, deployment, "responses", "conversation", prompts=prompts, options=options)
    assert answers == ["Oslo, then.", "Rain."]
    assert "Oslo, then." in json.dumps(deployment.upstream_requests[-1].body)


def test_object_is_parsed(node: Node, deployment: Deployment, dialect: str) -> None:
    deployment.upstream.reply(say('{"total": 3}'))
    assert ask(node, deployment, dialect, "object") == {"total": 3}


@pytest.mark.parametrize("name", ["answer", "stream"])
def test_error_has_the_words_of_the_upstream(
    name: str, node: Node, deployment: Deployment, dialect: str
) -> None:
    deployment.upstream.reply(error(400, "The value of X is bad."))
    failure = ask(node, deployment, dialect, name)
    assert failure["status"] == 400 and "The value of X is bad." in failure["message"]
