import json
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from addons.launch import NotStarted, Relay, answers, launched, start, taken
from tests.fake_provider import FakeProvider
from tests.replies import say


@pytest.fixture
def folder(tmp_path: Path) -> list[str]:
    return ["--set", f"confdir={tmp_path}"]


def asked(relay: Relay) -> str:
    body = json.dumps({"model": "gpt-5.5", "input": "Hello."}).encode()
    request = urllib.request.Request(f"{relay.url}/responses", body)  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
        text: str = json.load(reply)["output"][-1]["content"][0]["text"]
    return text


def test_it_answers_when_start_returns(provider: FakeProvider, folder: list[str]) -> None:
    provider.reply(say("Hi."))
    with start(
        upstream=provider.url, api_key=provider.key, isolate=True, arguments=folder
    ) as relay:
        assert asked(relay) == "Hi."
        assert "sk-" not in " ".join(map(str, relay.args)) and relay.poll() is None
    assert relay.returncode is not None


def test_terminate_ends_it(folder: list[str]) -> None:
    relay = start(arguments=folder)
    assert "demonstration" in asked(relay)
    relay.terminate()
    assert relay.wait(10) is not None


def test_the_end_of_the_log_says_why_it_did_not_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(NotStarted, match="UPSTREAM is 'nonsense': not an http") as caught:
        start(upstream="nonsense", arguments=["--set", f"confdir={tmp_path}"], log=log)
    assert "ended with 1" in str(caught.value)


def test_a_port_that_somebody_has_is_told(folder: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(NotStarted, match=f"port {port} cannot be had"):
            start(port=port, arguments=folder)


def test_another_relay_on_the_port_is_not_this_one(folder: list[str]) -> None:
    with start(arguments=folder) as other:
        one = launched(
            ["sh", "-c", "exec sleep 60"], other.port, other.log, {"PATH": "/usr/bin:/bin"}
        )
        try:
            assert answers(other) and not answers(one) and taken(other.port)
        finally:
            one.stop()


def test_a_relay_that_never_answers_is_ended(tmp_path: Path) -> None:
    mute = tmp_path / "mute"
    mute.write_text("#!/bin/sh\necho I am mute.\nexec sleep 60\n")
    mute.chmod(0o755)
    begin = time.monotonic()
    with pytest.raises(NotStarted, match="(?s)does not answer.*I am mute"):
        start(program=str(mute), patience=0.5)
    assert time.monotonic() - begin < 10


def test_a_wrong_setting_is_no_setting() -> None:
    with pytest.raises(TypeError, match="upstraem is no setting; there are: account, "):
        start(upstraem="x")
