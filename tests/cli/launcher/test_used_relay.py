import os
import socket
from pathlib import Path

import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.launcher import used_relay
from scripts.cli.launcher.used_relay import (
    UsedRelay,
    new_log_file,
    program_folder,
    remove_files,
    save_authority,
    save_bundle,
)
from scripts.cli.running_relay import RunningRelay


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return program_folder()


def relay_at(port: int) -> UsedRelay:
    return UsedRelay(
        running=RunningRelay(port, {}),
        key="",
        log="/a.log",
        provider_name="deepseek",
        provider="DeepSeek",
        upstream="https://api.deepseek.com/v1",
        model="deepseek-chat",
        is_own=True,
    )


def test_old_files_of_ended_processes_are_removed(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        kept = {f"models-{port}.json", f"relay-{os.getppid()}.log", "relay-99999998.log"}
        names = {*kept, "models-9.json", "ca-9.pem", "relay-99999999.log"}
        for name in names:
            (state / name).touch()
            if name != "relay-99999998.log":  # of a process that has ended just now
                os.utime(state / name, (0, 0))
        assert new_log_file() == state / f"relay-{os.getpid()}.log"
    assert {path.name for path in state.iterdir()} == kept


def test_files_of_one_relay_are_removed(state: Path) -> None:
    for name in ("ca-80.pem", "models-80.json", "relay-80.log", "ca-8080.pem"):
        (state / name).touch()
    remove_files(relay_at(80))
    assert {path.name for path in state.iterdir()} == {"relay-80.log", "ca-8080.pem"}


def test_authority_of_a_relay_that_shows_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    default = tmp_path / "mitmproxy-ca-cert.pem"
    monkeypatch.setattr(used_relay, "DEFAULT_CA", default)
    with pytest.raises(CommandFailed, match="does not show its certificate authority"):
        save_authority(relay_at(9))
    default.touch()
    assert save_authority(relay_at(9)) == default


def test_bundle_has_the_users_own_authorities(tmp_path: Path) -> None:
    ca_file, former = tmp_path / "ca.pem", tmp_path / "corp.pem"
    ca_file.write_text("relay\n")
    former.write_text("corp\n")
    bundle = save_bundle(relay_at(80), ca_file, str(former))
    assert bundle.read_text() == "relay\ncorp\n"
    assert b"BEGIN CERTIFICATE" in save_bundle(relay_at(80), ca_file).read_bytes()
    with pytest.raises(CommandFailed, match=r"missing\.pem: No such file"):
        save_bundle(relay_at(80), ca_file, str(tmp_path / "missing.pem"))


def test_summary() -> None:
    assert relay_at(80).summary == "mitmcodex: DeepSeek, deepseek-chat · log: /a.log"
