"""Chat Completions as the official SDK for Node sees them."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.codex.conftest import PIXEL
from tests.fake_backend import usage_limit
from tests.house import Home, Houses
from tests.node.conftest import SDK, Node
from tests.replies import CUT, call, error, pause, say, think

PICTURE = f"data:image/png;base64,{base64.b64encode(PIXEL.read_bytes()).decode()}"
PINNED = json.loads(Path(__file__).with_name("package.json").read_text())["dependencies"]
SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "integer"}},
    "required": ["total"],
    "additionalProperties": False,
}


@pytest.fixture(params=["file", "provider"])
def home(request: pytest.FixtureRequest, houses: Houses) -> Home:
    return houses.home(request.param)


def chat(node: Node, home: Home, name: str, **given: Any) -> Any:
    made = node.chat(base=f"{home.relay.url}/v1", model=home.model, name=name, **given)
    return made.get("made") or made["error"]


def test_the_version_is_the_pinned_one(node: Node) -> None:
    installed = json.loads((SDK / "package.json").read_text())
    assert {"openai": installed["version"]} == PINNED


def test_an_answer_in_one_piece(node: Node, home: Home) -> None:
    home.fake.reply(think("Hm."), say("A pixel — ¡olé! 🎉"))
    picture = {"type": "image_url", "image_url": {"url": PICTURE}}
    parts = [{"type": "text", "text": "What is this?"}, picture]
    made = chat(node, home, "create", fields={"messages": [{"role": "user", "content": parts}]})
    [choice] = made["choices"]
    assert choice["message"]["content"] == "A pixel — ¡olé! 🎉"
    assert choice["message"]["reasoning_content"] == "Hm."
    assert made["usage"]["prompt_tokens_details"]["cached_tokens"] == 100
    [asked] = home.asked
    assert (asked.prompt, asked.pictures) == ("What is this?", [PICTURE])


def test_streams(node: Node, home: Home) -> None:
    home.fake.reply(say("One, "), pause(0.4), say("two, three."))  # longer than a heartbeat
    *chunks, last = chat(node, home, "stream")
    told = [choice["delta"].get("content") or "" for one in chunks for choice in one["choices"]]
    assert (
        "".join(told).replace("\n", "") == "One, two, three." and len(list(filter(None, told))) > 1
    )
    assert last["choices"] == [] and last["usage"]["total_tokens"] == 150
    home.fake.reply(say("Count me."))
    made = chat(node, home, "helper")
    text = made["final"]["choices"][0]["message"]["content"]
    assert text == "".join(made["deltas"]) == "Count me."


@pytest.mark.parametrize("streaming", [False, True])
def test_tools_in_a_loop(streaming: bool, node: Node, home: Home) -> None:
    """First with plain messages, then with all that came."""
    for whole in (False, True):
        home.fake.reply(think("Two."), call("weather", city="Oslo"), call("weather", city="Rome"))
        home.fake.reply(think("One more."), call("weather", city="Lima"))
        home.fake.reply(say("Rain."))
        made = chat(node, home, "loop", streaming=streaming, whole=whole, prompt=f"Go {whole}.")
        assert made == {"content": "Rain.", "finish_reason": "stop", "turns": 3}
        last = home.asked[-1]
        assert last.outputs == ["rain in Oslo", "rain in Rome", "rain in Lima"]
        if home.account:
            types = [item["type"] for item in last.body["input"]]
            assert types.count("reasoning") == 2


def test_tools_that_the_sdk_runs(node: Node, home: Home) -> None:
    for streaming in (False, True):
        home.fake.reply(call("weather", city="Oslo"))
        home.fake.reply(say("Rain."))
        made = chat(node, home, "runner", streaming=streaming, prompt=f"Go {streaming}.")
        assert made == {"content": "Rain."}
        assert home.asked[-1].outputs == ["rain in Oslo"]


def test_json_by_schema(node: Node, home: Home) -> None:
    home.fake.reply(say('{"total": 3}'))
    form = {"name": "sum", "strict": True, "schema": SCHEMA}
    fields = {"response_format": {"type": "json_schema", "json_schema": form}}
    made = chat(node, home, "create", fields=fields)
    assert json.loads(made["choices"][0]["message"]["content"]) == {"total": 3}
    [asked] = home.asked
    if home.account:
        assert asked.body["text"]["format"] == {"type": "json_schema", **form}
    else:
        assert asked.body["response_format"] == fields["response_format"]


def test_models(node: Node, home: Home) -> None:
    made = chat(node, home, "models")
    assert "gpt-5.5" in made["ids"]
    assert made["one"]["id"] == made["ids"][0] and made["one"]["object"] == "model"


def test_errors(node: Node, houses: Houses) -> None:
    home, other = houses.home("provider"), houses.home("file")
    told = chat(node, home, "create", fields={"n": 2})
    assert (told["name"], told["param"]) == ("BadRequestError", "n")
    told = chat(node, home, "create", fields={"model": "chatgpt/gpt-5.5"})
    assert (told["name"], told["code"]) == ("AuthenticationError", "no_account")
    for problem, name in [
        (error(400, "bad value"), "BadRequestError"),
        (error(429, "slower", retry_after=7), "RateLimitError"),
        (error(503, "busy"), "InternalServerError"),
    ]:
        home.fake.reply(problem)
        told = chat(node, home, "stream")
        assert (told["name"], str(problem.status) in told["message"]) == (name, True)
    other.fake.reply(say("Half a sen"), pause(0.02), CUT)
    assert chat(node, other, "stream")["name"] == "APIError"


def test_a_usage_limit(node: Node, houses: Houses) -> None:
    home = houses.home("vault")
    home.fake.reply(usage_limit(resets_in=600))
    try:
        told = chat(node, home, "stream")
    finally:
        houses.log_in_anew(home.relay)
    assert (told["name"], told["type"]) == ("RateLimitError", "usage_limit_reached")
    assert 590 <= told["body"]["resets_in_seconds"] <= 600
