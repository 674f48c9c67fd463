import json
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from addons.launch import (
    NotStarted,
    RelayProcess,
    is_ready,
    launch_process,
    setting_variables,
    start,
)
from addons.port_holder import bind_fault
from tests.fake_provider import FakeProvider
from tests.replies import say


@pytest.fixture
def folder(tmp_path: Path) -> list[str]:
    return ["--set", f"confdir={tmp_path}"]


def ask_relay(relay: RelayProcess) -> str:
    body = json.dumps({"model": "gpt-5.5", "input": "Hello."}).encode()
    request = urllib.request.Request(f"{relay.url}/responses", body)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
        text: str = json.load(reply)["output"][-1]["content"][0]["text"]
    return text


def test_relay_answers_when_start_returns(provider: FakeProvider, folder: list[str]) -> None:
    provider.reply(say("Hi."))
    with start(
        upstream=provider.url, api_key=provider.key, isolate=True, arguments=folder
    ) as relay:
        assert ask_relay(relay) == "Hi."
        assert "sk-" not in " ".join(map(str, relay.args)) and relay.poll() is None
    assert relay.returncode is not None


def test_terminate_ends_the_relay(folder: list[str]) -> None:
    relay = start(arguments=folder)
    assert "demonstration" in ask_relay(relay)
    relay.terminate()
    assert relay.wait(10) is not None


def test_error_has_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(NotStarted, match="UPSTREAM is 'nonsense': not an http") as caught:
        start(upstream="nonsense", arguments=["--set", f"confdir={tmp_path}"], log=log)
    assert "ended with 1" in str(caught.value)


def test_taken_port_is_named(folder: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(NotStarted, match=f"port {port} is not available"):
            start(port=port, arguments=folder)


def test_relay_knows_itself_from_another_one_on_its_port(folder: list[str]) -> None:
    with start(arguments=folder) as other:
        impostor = launch_process(
            ["sh", "-c", "exec sleep 60"], other.port, other.log, {"PATH": "/usr/bin:/bin"}
        )
        try:
            assert (
                is_ready(other) and not is_ready(impostor) and bind_fault("127.0.0.1", other.port)
            )
        finally:
            impostor.stop()


def test_relay_that_never_answers_is_ended(tmp_path: Path) -> None:
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\necho I am mute.\nexec sleep 60\n")
    mute.chmod(0o755)
    start_time = time.monotonic()
    with pytest.raises(NotStarted, match="(?s)does not answer.*I am mute"):
        start(program=str(mute), patience=0.5)
    assert time.monotonic() - start_time < 10


def test_settings_may_be_python_values() -> None:
    model_map = {"gpt-5.5": "deepseek-chat", "gpt-6*": ["kimi/kimi-k3", "groq/qwen3"]}
    hosts, unset = ("a.lan", "b.lan"), None
    variables = setting_variables(
        {"model_map": model_map, "hosts": hosts, "isolate": False, "timeout": 5, "port": unset}
    )
    assert variables == {
        "CODEX_RELAY_MODEL_MAP": "gpt-5.5:deepseek-chat,gpt-6*:kimi/kimi-k3|groq/qwen3",
        "CODEX_RELAY_HOSTS": "a.lan,b.lan",
        "CODEX_RELAY_ISOLATE": "off",
        "CODEX_RELAY_TIMEOUT": "5",
    }


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="upstraem is not a setting; there are: account, "):
        start(upstraem="x")
