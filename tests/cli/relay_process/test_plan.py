import os
from pathlib import Path

import pytest

from addons.launch import available_port
from scripts.cli import running_relay
from scripts.cli.errors import CommandFailed
from scripts.cli.relay_process import plan
from scripts.cli.relay_process.fingerprints import setting_fingerprints
from scripts.cli.relay_process.plan import (
    WantedRelay,
    find_present_relay,
    plan_start,
    require_same_relay,
    wanted_relay,
)
from scripts.cli.running_relay import RunningRelay, StartedRelay, save_started_relay


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def wanted(provider: str = "", port: int | None = None, web: bool = False) -> WantedRelay:
    return wanted_relay(provider, "", "", port, web, ["-w", "flows.mitm"])


def test_start_has_its_settings_in_the_environment_only() -> None:
    port = available_port(0)
    order, notes = plan_start(wanted("ollama", port))
    assert (order.program, order.port, notes) == ("mitmdump", port, [])
    assert order.arguments == ("--listen-host", "127.0.0.1", "-w", "flows.mitm")
    assert order.environment["CODEX_RELAY_PROVIDER"] == "ollama"


def test_other_machines_may_connect_where_there_are_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_RELAY_CLIENT_KEY", "a-long-random-text")
    order, _ = plan_start(wanted(port=available_port(0), web=True))
    assert "--listen-host" not in order.arguments and order.program == "mitmweb"
    assert "--no-web-open-browser" in order.arguments


def test_usual_port_that_is_taken_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "DEFAULT_PORT", 1)  # which only root may take
    if os.geteuid():
        _, [note] = plan_start(wanted())
        assert note.startswith("Port 1 is not free")


def test_same_relay_is_no_fault() -> None:
    relay = wanted("ollama", 4711, web=True)
    settings = setting_fingerprints(relay.user.file, relay.variables, "mark")
    started = StartedRelay(os.getpid(), 4711, "mitmweb", "mark", settings=settings)
    require_same_relay(RunningRelay(4711, {}, started), relay)
    for other, names in [
        (wanted("kimi", 4711), "provider$"),
        (wanted("ollama", 4712), "settings: --port$"),
    ]:
        with pytest.raises(CommandFailed, match=names) as failure:
            require_same_relay(RunningRelay(4711, {}, started), other)
        assert "mitmcodex down" in failure.value.next_step


def test_relay_of_another_program_may_have_any_settings() -> None:
    require_same_relay(RunningRelay(4711, {}), wanted())
    with pytest.raises(CommandFailed, match="provider or model, --web") as failure:
        require_same_relay(RunningRelay(4711, {}), wanted("kimi", web=True))
    assert "with --port" in failure.value.next_step


def test_relay_that_hangs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "START_PATIENCE", 0.1)  # s
    monkeypatch.setattr(running_relay.StartedRelay, "is_alive", True)
    save_started_relay(StartedRelay(os.getpid(), available_port(0), "mitmdump", "mark"))
    notes = list[str]()
    with pytest.raises(CommandFailed, match=f"process {os.getpid()}") as failure:
        find_present_relay(None, notes.append)
    assert "mitmcodex down" in failure.value.next_step
    assert len(notes) == 1 and notes[0].startswith("Waiting for the relay")


def test_present_relay_is_looked_for_on_the_wanted_port() -> None:
    assert find_present_relay(available_port(0), pytest.fail) is None
