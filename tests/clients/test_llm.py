"""A real chat client: `llm` (https://llm.datasette.io), set up as its manual says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.codex.conftest import PIXEL
from tests.codex.driver import base_environment
from tests.house import Home, Houses
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
def home(request: pytest.FixtureRequest, houses: Houses) -> Home:
    return houses.home(request.param)


@pytest.fixture
def llm(home: Home, tmp_path: Path) -> Llm:
    """Runs it with these arguments; what it prints."""
    models = MODELS.format(model=home.model, url=home.relay.url)
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


@pytest.mark.parametrize("home", ["provider"], indirect=True)
def test_it_streams_and_goes_on(llm: Llm, home: Home) -> None:
    home.fake.reply(think("Hm."), say("One, "), pause(0.4), say("two."))
    assert llm("-s", "Be brief.", "Count.").replace("\n", "") == "One, two."
    home.fake.reply(say("Three."))
    assert llm("--no-stream", "-c", "Go on.").strip() == "Three."
    first, second = home.asked
    assert (first.prompt, second.prompt, first.system) == ("Count.", "Go on.", "Be brief.")


@pytest.mark.parametrize("home", ["vault"], indirect=True)
def test_it_calls_a_tool_and_shows_a_picture(llm: Llm, home: Home) -> None:
    home.fake.reply(think("Where?"), call("weather", city="Oslo"), call("weather", city="Rome"))
    home.fake.reply(say("Rain."))
    assert llm("--functions", FUNCTION, "-a", str(PIXEL), "Weather?").strip() == "Rain."
    last = home.asked[1]
    assert last.outputs == ["rain in Oslo", "rain in Rome"]
    assert len(last.pictures) == 1
    # llm keeps plain messages only.
    assert "reasoning" in [item["type"] for item in last.body["input"]]
