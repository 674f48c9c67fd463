"""`mitmcodex probe` as a user runs it, up to a relay that works with what it has written."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from addons.launch import available_port, start
from tests.cli.probe.measured_provider import (
    Character,
    MeasuredProvider,
    running_measured_provider,
)
from tests.cli.user_home import CommandHere, UserHome
from tests.replies import MISTRAL

KEY = "PROBED_KEY"
COMMENTED = "# my relay\nretries = 2 # not many\n\n[providers.other] # mine\nport = 4999\n"


@pytest.fixture
def server() -> Iterator[MeasuredProvider]:
    with running_measured_provider() as provider:
        yield provider


@pytest.fixture
def home(tmp_path: Path) -> UserHome:
    """A home with a relay.toml that the user has written."""
    path = relay_toml(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(COMMENTED)
    return UserHome(tmp_path)


def relay_toml(home: Path) -> Path:
    return home / ".config" / "mitmcodex" / "relay.toml"


def run_probe(home: UserHome, *arguments: str, key: str | None) -> tuple[int, str, str]:
    """The exit status, stdout and stderr of the command; the key is in a variable."""
    ended = home.run_command("probe", *arguments, **{KEY: key or ""})
    return ended.returncode, ended.stdout, ended.stderr


def tool_loop() -> dict[str, object]:
    """A turn of Codex with a call whose id the provider of these tests refuses."""
    call_id = "call_0123456789abcdefghij"
    schema = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
    return {
        "model": "model-one",
        "input": [
            {"role": "user", "content": "What is the weather in Oslo?"},
            {"type": "function_call", "call_id": call_id, "name": "look_up", "arguments": "{}"},
            {"type": "function_call_output", "call_id": call_id, "output": "7 degrees"},
        ],
        "tools": [{"type": "function", "name": "look_up", "parameters": schema, "strict": False}],
    }


def ask_relay(url: str) -> httpx2.Response:
    with httpx2.Client(trust_env=False, timeout=30) as client:
        return client.post(f"{url}/responses", json=tool_loop())


def test_relay_serves_with_the_written_table_what_the_generic_profile_cannot(
    server: MeasuredProvider,
    home: UserHome,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.use_rules("mistral")
    server.character = Character(MISTRAL)
    options = ("--key-env", KEY, "--name", "box", "--write", "--yes", "--json")
    status, output, errors = run_probe(home, server.url, *options, key=server.key)
    assert status == 0, errors
    report = json.loads(output)
    assert report["table"]["quirks"] == ["nine_character_ids"]
    assert report["requests"] <= 80
    verdicts = {each["probe"]: each["verdict"] for each in report["findings"]}
    assert (verdicts["foreign call id"], verdicts["image/png"]) == ("refused", "seen")
    text = relay_toml(home.path).read_text()
    assert text.startswith(COMMENTED)
    assert f"[providers.box] # Measured by mitmcodex probe on {report['date']}: model-one" in text
    assert f'key_env = ["{KEY}"]' in text
    assert "written to" in errors
    assert server.key is not None and server.key not in output + errors + text

    monkeypatch.setenv(KEY, server.key)
    port = available_port(0)
    settings = {"upstream": server.url, "provider": "generic", "api_key": server.key}
    with start(config=relay_toml(home.path), ports=f"box:{port}", **settings) as relay:
        refused, served = ask_relay(relay.url), ask_relay(f"http://127.0.0.1:{port}/v1")
    assert refused.status_code == 400
    assert "does not match [a-zA-Z0-9]{9}" in refused.text
    assert served.status_code == 200, served.text
    assert "The tool says: 7 degrees" in served.text


def test_grid_shows_evidence_and_the_table_and_writes_nothing(
    server: MeasuredProvider, home: UserHome
) -> None:
    server.use_rules("groq")
    status, output, errors = run_probe(home, server.url, "--key-env", KEY, "--yes", key=server.key)
    assert status == 0, errors
    lines = output.splitlines()
    assert lines[0].split() == ["GROUP", "PROBE", "VERDICT", "EVIDENCE"]
    [line] = [line for line in lines if " logit_bias " in line]
    assert line.split()[:3] == ["parameters", "logit_bias", "refused"]
    assert line.endswith("logit_bias: property is unsupported [invalid_request_error]")
    assert 'refuses = ["frequency_penalty", "logit_bias", "presence_penalty"]' in lines
    assert "at most 78 small requests" in errors and "tokens" in errors
    assert relay_toml(home.path).read_text() == COMMENTED


def test_ctrl_c_keeps_what_was_measured(server: MeasuredProvider, home: UserHome) -> None:
    server.use_rules("groq")
    server.character = Character(slow_field="seed")
    arguments = ("probe", server.url, "--key-env", KEY, "--yes", "--json")
    with home.start_command(*arguments, **{KEY: server.key or ""}) as process:
        server.wait_until(
            lambda: any("seed" in request.body for request in server.posted_requests), 40
        )
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in errors and "Traceback" not in errors
    probes = {each["probe"] for each in json.loads(output)["findings"]}
    assert "tool call" in probes and "seed" not in probes


@pytest.mark.parametrize(
    ("arguments", "message", "next_step"),
    [
        (("--model", "model-one"), "nobody is there to agree to this", "add --yes"),
        ((), "no key was sent (401)", "--key-env"),
        (("--key-env", "MISSING"), "MISSING holds no key", "export MISSING=…"),
        (("--yes", "--key-env", KEY), "the key was refused (401)", f"the key in {KEY}"),
    ],
)
def test_failure_names_the_next_step_and_costs_nothing(
    arguments: tuple[str, ...],
    message: str,
    next_step: str,
    server: MeasuredProvider,
    home: UserHome,
    command: CommandHere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KEY, "wrong")
    probe = command.run_line(f"probe {server.url} {' '.join(arguments)}")
    assert (probe.status, probe.output) == (1, "")
    assert message in probe.messages and next_step in probe.messages
    assert server.posted_requests == []
