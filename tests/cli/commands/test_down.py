import os
import subprocess
import sys

import pytest

from addons.identity import MARK_VARIABLE
from scripts.cli import running_relay
from scripts.cli.running_relay import StartedRelay, save_started_relay, state_path
from tests.cli.user_home import CommandHere


@pytest.fixture(autouse=True)
def no_other_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_relay, "read_health", lambda port: None)


def test_noted_relay_is_ended(command: CommandHere) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep, env={**os.environ, MARK_VARIABLE: "mark"}) as process:
        save_started_relay(StartedRelay(process.pid, 4711, "mitmdump", "mark"))
        down = command.run_line("down")
        assert process.poll() is not None
    assert down.output == f"ended the relay on port 4711 (process {process.pid})\n"
    assert down.status == 0 and not state_path().exists()


def test_nothing_to_end_is_no_failure(command: CommandHere) -> None:
    down = command.run_line("down")
    assert (down.status, down.output) == (0, "no relay runs: there is nothing to end\n")


def test_relay_of_another_program_is_left_alone(
    command: CommandHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_relay, "read_health", lambda port: {"version": "1"})
    monkeypatch.setattr(running_relay, "has_own_listener", lambda port: True)
    down = command.run_line("down")
    assert down.status == 1 and "was not started by `mitmcodex up`" in down.messages
    assert "Ctrl-C" in down.messages
