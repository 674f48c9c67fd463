"""A user in an empty home, with the command line and perhaps with Codex."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.codex.driver import QUIET_CONFIG, base_environment
from tests.terminal import Terminal

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "scripts.cli"]
# What Codex keeps for itself, and rewrites whenever it runs.
CODEX_INTERNALS = "skills", "tmp", ".tmp"


class User:
    """`environment` are the variables of the user's shell."""

    def __init__(self, folder: Path, codex: Path | None = None) -> None:
        self.home, self.work = folder / "home", folder / "work"
        self.codex_home = self.home / ".codex"
        for path in (self.codex_home, self.work):
            path.mkdir(parents=True)
        self.environment = base_environment(self.home) | {
            "PYTHONPATH": str(ROOT),
            "TERM": "xterm-256color",
            # No test reaches any host but loopback, also where the relay lets traffic pass.
            "HTTPS_PROXY": "http://127.0.0.1:9",
        }
        if codex:
            self.install(codex)
            (self.codex_home / "config.toml").write_text(QUIET_CONFIG)

    def install(self, codex: Path) -> None:
        programs = self.home / "bin"
        programs.mkdir()
        (programs / "codex").symlink_to(codex)
        self.environment["PATH"] = f"{programs}:{self.environment['PATH']}"

    def log_in(self, key: str) -> None:
        (self.codex_home / "auth.json").write_text(json.dumps({"OPENAI_API_KEY": key}))

    def run(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run `mitmcodex`, with this text as its standard input."""
        return self.run_program([*COMMAND, *arguments], text)

    def run_program(
        self, command: Sequence[str], text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.work,
            env=self.environment,
            input=text or "",
            capture_output=True,
            text=True,
            timeout=40,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `mitmcodex` as a shell does: with a process group of its own."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.work,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def open_terminal(self, *arguments: str) -> Terminal:
        """`mitmcodex` in a terminal."""
        return Terminal([*COMMAND, *arguments], self.environment, self.work)

    @property
    def codex_files(self) -> set[str]:
        """The files in CODEX_HOME, but for Codex's own internals and its databases' logs."""
        paths = [path.relative_to(self.codex_home) for path in self.codex_home.rglob("*")]
        return {
            path.as_posix()
            for path in paths
            if path.parts[0] not in CODEX_INTERNALS and not path.name.endswith(("-wal", "-shm"))
        }

    def files_with(self, text: bytes) -> list[Path]:
        """The files in CODEX_HOME with this text."""
        files = [path for path in self.codex_home.rglob("*") if path.is_file()]
        return [path for path in files if text in path.read_bytes()]

    @property
    def sessions(self) -> list[str]:
        return sorted(path for path in self.codex_files if path.endswith(".jsonl") and "/" in path)
