from pathlib import Path

import pytest

from scripts.cli import next_step, running_relay
from scripts.cli.next_step import next_step_lines
from scripts.cli.running_relay import RunningRelay


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(running_relay, "read_health", lambda port: None)


def commands(lines: list[str]) -> list[str]:
    return [line.strip().partition("  ")[0] for line in lines if line.startswith("  mitmcodex")]


def test_newcomer_is_sent_to_the_setup() -> None:
    lines = next_step_lines()
    assert "No provider is set up yet" in lines[0] and len(lines) <= 6
    assert commands(lines)[:2] == ["mitmcodex setup", "mitmcodex codex"]


def test_user_with_a_provider_is_sent_to_codex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_RELAY_PROVIDER", "deepseek")
    lines = next_step_lines()
    assert lines[0] == "deepseek is set up, and no relay runs."
    assert commands(lines)[:2] == ["mitmcodex codex", "mitmcodex up"]


@pytest.mark.parametrize(("provider", "has_setup"), [("deepseek", False), ("demo", True)])
def test_user_of_a_running_relay_sees_where(
    provider: str, has_setup: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = {"version": "1", "provider": provider, "upstream": "https://x/v1"}
    monkeypatch.setattr(next_step, "find_running_relay", lambda: RunningRelay(4711, health))
    lines = next_step_lines()
    assert "http://127.0.0.1:4711" in lines[0] and "https://x/v1" in lines[1]
    assert ("mitmcodex setup" in commands(lines)) is has_setup
