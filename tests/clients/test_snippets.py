"""The set-up texts of the dashboard, of a relay that runs: each is used as it stands there, or as
its program would read it."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from ruamel.yaml import YAML

from tests.codex.driver import base_environment
from tests.house import Home, Houses
from tests.node.conftest import Node, node
from tests.replies import pause, say

__all__ = ["node"]

Texts = dict[str, str]
CURL = pytest.mark.skipif(
    shutil.which("curl") is None, reason="no curl is installed (Debian: apt-get install curl)"
)


@pytest.fixture(params=["file", "provider"])
def home(request: pytest.FixtureRequest, houses: Houses) -> Home:
    return houses.home(request.param)


@pytest.fixture
def texts(home: Home) -> Texts:
    """By the program's name, with what the user is to put in where no model is known yet."""
    with httpx2.Client(trust_env=False, timeout=10) as client:
        told = client.get(f"{home.relay.url}/relay/data")
    found = told.raise_for_status().json()["setup"]
    return {one["name"]: one["text"].replace("MODEL", home.model) for one in found}


def answered(home: Home, base: str, key: str, model: str) -> None:
    """One request as a client with these settings makes it."""
    home.fake.reply(say("Hello."))
    with httpx2.Client(trust_env=False) as http:
        client = OpenAI(base_url=base, api_key=key, http_client=http, max_retries=0)
        made = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello!"}]
        )
    assert made.choices[0].message.content == "Hello."


def test_continue(texts: Texts, home: Home) -> None:
    told: Any = YAML(typ="safe").load(texts["Continue"])
    assert (told["schema"], {"name", "version"} <= told.keys()) == ("v1", True)
    [model] = told["models"]
    assert model["provider"] == "openai" and "chat" in model["roles"]
    answered(home, model["apiBase"], model["apiKey"], model["model"])


def test_aider(texts: Texts, home: Home) -> None:
    *exports, command = [shlex.split(line) for line in texts["aider"].splitlines()]
    assert all(words[0] == "export" for words in exports)
    given = dict(word.split("=", 1) for _, word in exports)
    assert command[:2] == ["aider", "--model"]
    prefix, _, model = command[2].partition("/")  # litellm's way to name a compatible server
    assert prefix == "openai"
    answered(home, given["OPENAI_API_BASE"], given["OPENAI_API_KEY"], model)


def test_cursor(texts: Texts, home: Home) -> None:
    told = dict(line.split(": ", 1) for line in texts["Cursor"].splitlines())
    base, key = told["Override OpenAI Base URL"], told["OpenAI API Key"]
    answered(home, base, key, told["Custom model"])


def run(command: list[str], folder: Path, text: str = "") -> str:
    done = subprocess.run(
        command,
        env=base_environment(folder),
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python(texts: Texts, home: Home, tmp_path: Path) -> None:
    home.fake.reply(say("Hello, Python."))
    assert run([sys.executable, "-"], tmp_path, texts["Python"]).strip() == "Hello, Python."
    assert home.asked[0].prompt == "Hello!"


def test_node(texts: Texts, home: Home, node: Node) -> None:
    home.fake.reply(say("Hello, Node."))
    said = node.run(["--input-type=module", "-"], texts["Node"])
    assert said.strip() == "Hello, Node."
    assert home.asked[0].prompt == "Hello!"


@CURL
def test_curl(texts: Texts, home: Home, tmp_path: Path) -> None:
    home.fake.reply(say("Hello, curl."))
    said = run(["sh", "-euc", texts["curl"]], tmp_path)
    assert json.loads(said)["choices"][0]["message"]["content"] == "Hello, curl."


@CURL
def test_curl_streams(texts: Texts, home: Home, tmp_path: Path) -> None:
    """With heartbeats, which stand there as comments."""
    home.fake.reply(say("One, two, "), pause(0.7), say("three."))
    command = texts["curl"].replace("curl ", "curl -sSN ", 1)
    command = command.replace('"messages":', '"stream": true, "messages":')
    blocks = run(["sh", "-euc", command], tmp_path).split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    assert ": keep-alive" in blocks
    events = [json.loads(block[6:]) for block in blocks[:-2] if not block.startswith(":")]
    told = [choice["delta"].get("content") or "" for one in events for choice in one["choices"]]
    assert re.sub(r"\s+", " ", "".join(told)) == "One, two, three."
