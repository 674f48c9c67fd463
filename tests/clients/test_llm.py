"""A real chat client, `llm` (https://llm.datasette.io), configured as its manual says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.codex.conftest import PIXEL
from tests.codex.driver import base_environment
from tests.deployments import Deployment, Deployments
from tests.replies import call, pause, say, think

Llm = Callable[..., str]
MODELS = """
- model_id: relay
  model_name: {model}
  api_base: {url}/v1
  can_stream: true
  supports_tools: true
  supports_schema: true
  vision: true
"""
FUNCTION = (
    'def weather(city: str) -> str:\n    "The weather of a city."\n    return "rain in " + city'
)


@pytest.fixture
def deployment(request: pytest.FixtureRequest, deployments: Deployments) -> Deployment:
    return deployments.deployment(request.param)


@pytest.fixture
def llm(deployment: Deployment, tmp_path: Path) -> Llm:
    """Runs llm with these arguments and returns what it prints."""
    models = MODELS.format(model=deployment.model, url=deployment.relay.url)
    (tmp_path / "extra-openai-models.yaml").write_text(models)

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "llm", "-m", "relay", *arguments],
            env=base_environment(tmp_path) | {"LLM_USER_PATH": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=40,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("deployment", ["provider"], indirect=True)
def test_llm_streams_and_continues_a_conversation(llm: Llm, deployment: Deployment) -> None:
    deployment.upstream.reply(think("Hm."), say("One, "), pause(0.4), say("two."))
    assert llm("-s", "Be brief.", "Count.").replace("\n", "") == "One, two."
    deployment.upstream.reply(say("Three."))
    assert llm("--no-stream", "-c", "Go on.").strip() == "Three."
    first, second = deployment.upstream_requests
    assert (first.prompt, second.prompt, first.system) == ("Count.", "Go on.", "Be brief.")


@pytest.mark.parametrize("deployment", ["vault"], indirect=True)
def test_llm_calls_a_tool_and_sends_an_image(llm: Llm, deployment: Deployment) -> None:
    deployment.upstream.reply(
        think("Where?"), call("weather", city="Oslo"), call("weather", city="Rome")
    )
    deployment.upstream.reply(say("Rain."))
    assert llm("--functions", FUNCTION, "-a", str(PIXEL), "Weather?").strip() == "Rain."
    last = deployment.upstream_requests[1]
    assert last.outputs == ["rain in Oslo", "rain in Rome"]
    assert len(last.pictures) == 1
    # llm sends back only role, content and tool calls.
    assert "reasoning" in [item["type"] for item in last.body["input"]]
