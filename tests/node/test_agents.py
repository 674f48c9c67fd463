"""OpenAI's Agents SDK for JavaScript before the relay, with its models for both dialects."""

import pytest

from tests.deployments import Deployment, Deployments
from tests.node.conftest import Node
from tests.replies import call, say, think


@pytest.fixture(params=["file", "provider"])
def deployment(request: pytest.FixtureRequest, deployments: Deployments) -> Deployment:
    return deployments.deployment(request.param)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_agent_runs_tools_until_it_answers(
    dialect: str, streaming: bool, node: Node, deployment: Deployment
) -> None:
    deployment.upstream.reply(
        think("Two."), call("weather", city="Oslo"), call("weather", city="Rome")
    )
    deployment.upstream.reply(think("One more."), call("weather", city="Lima"))
    deployment.upstream.reply(say("Rain, as ever."))
    result = node.run_script(
        "agents.mjs",
        base=f"{deployment.relay.url}/v1",
        model=deployment.model,
        dialect=dialect,
        streaming=streaming,
        prompt="Weather?",
    )
    assert result["output"] == "Rain, as ever."
    assert not streaming or "".join(result["deltas"]) == "Rain, as ever."
    last = deployment.upstream_requests[-1]
    assert last.outputs == ["rain in Oslo", "rain in Rome", "rain in Lima"]
    assert "Be brief." in last.system and last.prompt == "Weather?"
