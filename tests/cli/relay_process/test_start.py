import os
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from addons.config import ConfigFile
from addons.launch import NotStarted, available_port
from addons.user_folders import state_folder
from scripts.cli.errors import CommandFailed
from scripts.cli.relay_process import start
from scripts.cli.relay_process.start import (
    RelayStart,
    start_fault,
    start_in_background,
    start_lock,
)
from scripts.cli.running_relay import read_started_relay, state_path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.fixture
def mute_relay(tmp_path: Path) -> RelayStart:
    """It never answers, and writes its process id into a file."""
    program = tmp_path / "mute"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    program.chmod(0o755)
    return RelayStart(str(program), available_port(0), (), dict(os.environ), ConfigFile.empty())


def test_relay_that_does_not_answer_is_ended(
    mute_relay: RelayStart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "START_PATIENCE", 0.5)  # s
    with pytest.raises(NotStarted, match="does not answer"):
        start_in_background(mute_relay)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
    assert read_started_relay() is None and not state_path().exists()


def test_one_relay_is_started_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "LOCK_PATIENCE", 0.1)  # s
    with start_lock():
        other = FileLock(state_folder() / "relay.lock", timeout=0)
        with pytest.raises(TimeoutError):
            other.acquire()
    with other, pytest.raises(CommandFailed, match="another `mitmcodex up`"), start_lock():
        raise AssertionError


def test_fault_is_in_the_words_of_the_relay() -> None:
    log = (
        "the relay on port 1 ended with 1; its log:\n"
        "[12:00:00.000] Loading script /x/addons/relay.py\n"
        "[12:00:00.100] relay_modle is unknown: did you mean relay_model?\n"
        "Errors logged during startup, exiting...\n"
    )
    fault = start_fault(NotStarted(log))
    assert (
        fault.message
        == "the relay does not start: relay_modle is unknown: did you mean relay_model?"
    )
    assert start_fault(NotStarted("there is no program 'mitmdump'")).message.endswith("'mitmdump'")
