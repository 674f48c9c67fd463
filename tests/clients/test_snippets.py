"""The set-up texts of the dashboard, each run as it stands there or read as its program does."""

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
from tests.deployments import Deployment, Deployments
from tests.node.conftest import Node, node
from tests.replies import pause, say

__all__ = ["node"]

Texts = dict[str, str]
CURL = pytest.mark.skipif(
    shutil.which("curl") is None, reason="no curl is installed (Debian: apt-get install curl)"
)


@pytest.fixture(params=["file", "provider"])
def deployment(request: pytest.FixtureRequest, deployments: Deployments) -> Deployment:
    return deployments.deployment(request.param)


@pytest.fixture
def snippets(deployment: Deployment) -> Texts:
    """The texts by the program's name, with the model filled in as the user does."""
    with httpx2.Client(trust_env=False, timeout=10) as client:
        reply = client.get(f"{deployment.relay.url}/relay/data")
    setup = reply.raise_for_status().json()["setup"]
    return {
        snippet["name"]: snippet["text"].replace("MODEL", deployment.model) for snippet in setup
    }


def check_answer(deployment: Deployment, base: str, key: str, model: str) -> None:
    """Check that a client with these settings gets an answer."""
    deployment.upstream.reply(say("Hello."))
    with httpx2.Client(trust_env=False) as http:
        client = OpenAI(base_url=base, api_key=key, http_client=http, max_retries=0)
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello!"}]
        )
    assert answer.choices[0].message.content == "Hello."


def test_snippet_for_continue_works(snippets: Texts, deployment: Deployment) -> None:
    config: Any = YAML(typ="safe").load(snippets["Continue"])
    assert (config["schema"], {"name", "version"} <= config.keys()) == ("v1", True)
    [model] = config["models"]
    assert model["provider"] == "openai" and "chat" in model["roles"]
    check_answer(deployment, model["apiBase"], model["apiKey"], model["model"])


def test_snippet_for_aider_works(snippets: Texts, deployment: Deployment) -> None:
    *exports, command = [shlex.split(line) for line in snippets["aider"].splitlines()]
    assert all(words[0] == "export" for words in exports)
    variables = dict(word.split("=", 1) for _, word in exports)
    assert command[:2] == ["aider", "--model"]
    prefix, _, model = command[2].partition("/")  # litellm's prefix for compatible servers
    assert prefix == "openai"
    check_answer(deployment, variables["OPENAI_API_BASE"], variables["OPENAI_API_KEY"], model)


def test_snippet_for_cursor_works(snippets: Texts, deployment: Deployment) -> None:
    settings = dict(line.split(": ", 1) for line in snippets["Cursor"].splitlines())
    base, key = settings["Override OpenAI Base URL"], settings["OpenAI API Key"]
    check_answer(deployment, base, key, settings["Custom model"])


def run_program(command: list[str], folder: Path, text: str = "") -> str:
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


def test_snippet_for_python_works(snippets: Texts, deployment: Deployment, tmp_path: Path) -> None:
    deployment.upstream.reply(say("Hello, Python."))
    assert (
        run_program([sys.executable, "-"], tmp_path, snippets["Python"]).strip() == "Hello, Python."
    )
    assert deployment.upstream_requests[0].prompt == "Hello!"


def test_snippet_for_node_works(snippets: Texts, deployment: Deployment, node: Node) -> None:
    deployment.upstream.reply(say("Hello, Node."))
    printed = node.run(["--input-type=module", "-"], snippets["Node"])
    assert printed.strip() == "Hello, Node."
    assert deployment.upstream_requests[0].prompt == "Hello!"


@CURL
def test_snippet_for_curl_works(snippets: Texts, deployment: Deployment, tmp_path: Path) -> None:
    deployment.upstream.reply(say("Hello, curl."))
    printed = run_program(["sh", "-euc", snippets["curl"]], tmp_path)
    assert json.loads(printed)["choices"][0]["message"]["content"] == "Hello, curl."


@CURL
def test_snippet_for_curl_may_stream(
    snippets: Texts, deployment: Deployment, tmp_path: Path
) -> None:
    """Heartbeats come as comments."""
    deployment.upstream.reply(say("One, two, "), pause(1.2), say("three."))
    command = snippets["curl"].replace("curl ", "curl -sSN ", 1)
    command = command.replace('"messages":', '"stream": true, "messages":')
    blocks = run_program(["sh", "-euc", command], tmp_path).split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    assert ": keep-alive" in blocks
    events = [json.loads(block[6:]) for block in blocks[:-2] if not block.startswith(":")]
    pieces = [
        choice["delta"].get("content") or "" for event in events for choice in event["choices"]
    ]
    assert re.sub(r"\s+", " ", "".join(pieces)) == "One, two, three."
