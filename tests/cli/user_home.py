"""A user's home for the tests of the command line, and the command as a process in it."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.cli import app

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "scripts.cli"]
INHERITED = ("PATH", "LANG", "TMPDIR", "SYSTEMROOT")
TIMEOUT = 50.0  # s


@dataclass(frozen=True)
class UserHome:
    path: Path

    @property
    def state_folder(self) -> Path:
        return self.path / ".local" / "state" / "mitmcodex"

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {**inherited, "HOME": str(self.path), "PYTHONPATH": str(ROOT), **variables}

    def start_command(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *arguments],
            env=self.environment(variables),
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The command, after its end."""
        with self.start_command(*arguments, **variables) as process:
            output, messages = process.communicate(timeout=TIMEOUT)
        return subprocess.CompletedProcess(arguments, process.returncode, output, messages)


class CommandResult(NamedTuple):
    status: int
    output: str
    messages: str


class CommandHere:
    """The command in this process, which spares the time to load it; in a home of its own."""

    def __init__(
        self, path: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.home, self._patch, self._capture = UserHome(path), patch, capture
        self.move_to(self.home)

    def move_to(self, home: UserHome) -> None:
        """Make this the user's home."""
        self.home = home
        self._patch.setenv("HOME", str(home.path))
        for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            self._patch.delenv(name, raising=False)

    def run_line(self, line: str) -> CommandResult:
        """`up --detach`"""
        self._patch.setattr("sys.argv", ["mitmcodex", *shlex.split(line)])
        self._capture.readouterr()
        status = app.main()
        return CommandResult(status, *self._capture.readouterr())
