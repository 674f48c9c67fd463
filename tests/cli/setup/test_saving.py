"""The settings in relay.toml and the key in the keyring: both or neither."""

import json
from dataclasses import replace
from pathlib import Path

import keyring
import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.setup import saving
from scripts.cli.setup.saving import SetupPlan, save_plan
from tests.cli.file_keyring import FILE_VARIABLE, FileKeyring


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetupPlan:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "keyring.json"))
    monkeypatch.setattr(keyring, "get_keyring", FileKeyring)
    return SetupPlan(tmp_path / "relay.toml", None, "model = 'a'\n", "kimi", "sk-1")


def test_file_that_has_changed_during_the_interview_is_not_overwritten(
    plan: SetupPlan, tmp_path: Path
) -> None:
    plan.path.write_text("mine = 1\n")
    for former in (None, "older = 1\n"):
        with pytest.raises(CommandFailed, match="was changed meanwhile"):
            save_plan(replace(plan, former_text=former))
    assert plan.path.read_text() == "mine = 1\n" and not plan.backup.exists()
    assert json.loads((tmp_path / "keyring.json").read_text()) == {}


def test_interruption_takes_the_key_back(
    plan: SetupPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path, data: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(saving, "write_private_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_plan(plan)
    assert json.loads((tmp_path / "keyring.json").read_text()) == {}


def test_file_and_key_are_written(plan: SetupPlan, tmp_path: Path) -> None:
    save_plan(plan)
    assert plan.path.read_text() == plan.text and plan.path.stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "keyring.json").read_text()) == {"codex-relay/kimi": "sk-1"}
