"""What happens around every command: help, wrong arguments, failures, pipes, completion."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from addons.identity import VERSION
from addons.launch import NotStarted
from scripts.cli import app
from scripts.cli.app import failure_from
from tests.cli.user_home import COMMAND, UserHome


@pytest.fixture
def home(tmp_path: Path) -> UserHome:
    return UserHome(tmp_path)


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mitmcodex", *arguments])
    return app.main()


def test_help_fits_a_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(monkeypatch, "--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 42 and max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert all(f"\n  {name} " in text for name in app.COMMANDS)
    assert all(f"\n{panel}:\n" in text for panel in app.PANELS) and "completion" in text
    assert "--install-completion" not in text
    assert run_main(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"mitmcodex {VERSION}\n"


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["staus"], ["no such command 'staus'. Did you mean 'status'", "`mitmcodex --help`"]),
        (["status", "--prot", "1"], ["options: --port)", "`mitmcodex status --help`"]),
        (["up", "--port", "0"], ["error: invalid value for '--port'"]),
        (["up", "--provider"], ["error: option '--provider' requires"]),
        (["open", "sesame"], ["error: invalid value for", "sesame", "`mitmcodex open --help`"]),
    ],
)  # fmt: skip
def test_wrong_arguments_are_two_lines(
    arguments: list[str],
    messages: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_main(monkeypatch, *arguments) == 2
    output = capfd.readouterr()
    assert output.out == "" and len(output.err.splitlines()) == 2
    assert all(message in output.err for message in messages)


def test_unexpected_error_is_two_lines_without_debug(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise LookupError("no such thing")

    monkeypatch.setattr("scripts.cli.next_step.next_step_lines", fail)
    assert run_main(monkeypatch) == 1
    error = capfd.readouterr().err
    assert "error: mitmcodex itself has failed: LookupError: no such thing" in error
    assert "--debug" in error and "Traceback" not in error
    assert run_main(monkeypatch, "--debug") == 1
    assert "in fail" in capfd.readouterr().err


def test_interrupt_has_the_status_of_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.cli.next_step.next_step_lines", interrupt)
    assert run_main(monkeypatch) == 130


def test_relay_that_does_not_start_is_no_crash() -> None:
    failure = failure_from(NotStarted("port 1 is not available"))
    words = "the relay does not start: port 1 is not available"
    assert (failure.message, failure.status) == (words, 1)


def run_script(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [shutil.which("bash") or "sh", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def test_closed_pipe_is_quiet(home: UserHome) -> None:
    for arguments in ("--help", "completion bash"):
        shell = run_script(f"{shlex.join(COMMAND)} {arguments} | true", home.environment({}))
        assert shell.stderr == ""


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("mitmcodex st", ["status"]),
        ("mitmcodex up --provider deeps", ["deepseek"]),
        ("mitmcodex up --det", ["--detach"]),
        ("mitmcodex open mi", ["mitmweb"]),
    ],
)
def test_bash_completes(line: str, offers: list[str], home: UserHome, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "mitmcodex"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    words = line.split()
    script = f"""
        eval "$(mitmcodex completion bash)"
        COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
        _mitmcodex_completion mitmcodex
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environment = home.environment({})
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"
    shell = run_script(script, environment)
    assert (shell.stdout.split(), shell.stderr) == (offers, "")
