import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cli.console import (
    print_failure,
    print_json,
    print_line,
    print_note,
    short_path,
)
from scripts.cli.errors import CommandFailed


def test_results_and_notes_have_their_own_streams(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"é": [1]})
    print_note("[a note]")
    output = capsys.readouterr()
    assert json.loads(output.out) == {"é": [1]} and "é" in output.out
    assert output.err == "[a note]\n"


def test_text_is_no_markup_and_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[bold]http://127.0.0.1:8081/?token=" + "a" * 200
    print_line(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_text_of_others_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_line("a\x1b[2J\x9b31m\r\u202eb")
    print_note("two\n\tlines")
    print_failure(CommandFailed("\x07", "\x1b"))
    output = capsys.readouterr()
    assert output.out == "a\\x1b[2J\\x9b31m\\r\\u202eb\n"
    assert output.err == "two\n    lines\nerror: \\x07\n  → \\x1b\n"


def test_failure_has_its_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    print_failure(CommandFailed("port [8080] is taken", "choose another"))
    print_failure(CommandFailed("no"))
    assert capsys.readouterr().err == "error: port [8080] is taken\n  → choose another\nerror: no\n"


@pytest.mark.parametrize(("variable", "has_colors"), [("FORCE_COLOR", True), ("NO_COLOR", False)])
def test_colors_are_the_choice_of_the_user(variable: str, has_colors: bool) -> None:
    program = "from scripts.cli.console import print_line; print_line('text', 'bold red')"
    environment = {**os.environ, "TERM": "xterm", variable: "1"}
    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, timeout=30
    ).stdout
    assert (b"\x1b[" in output) is has_colors


def test_path_in_the_users_home_is_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert short_path(tmp_path / "a" / "b.toml") == "~/a/b.toml"
    assert short_path(f"{tmp_path}-of-another/b") == f"{tmp_path}-of-another/b"
