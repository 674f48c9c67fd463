"""Records the first minute with mitmcodex: real commands and the real Codex in a terminal.

`python -m tests.recording` writes .github/pictures/first-minute.svg; look at the result."""

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.codex.driver import CODEX, QUIET_CONFIG, base_environment
from tests.recording.svg import Cell, Frame, Style, animated_svg
from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / ".github" / "pictures" / "first-minute.svg"
TITLE = "mitmcodex up, Codex at work on the demonstration provider, mitmcodex status"
SIZE = (28, 100)  # rows, columns
TYPING, PAUSE, LAST_PAUSE = 0.05, 1.5, 5.0  # s between two keys; longest pause; the last frame
SHORTEST = 0.06  # s; what changes faster is one frame
# Codex warns of systems on which its sandbox lacks a program.
SANDBOX_CONFIG = 'sandbox_mode = "danger-full-access"\napproval_policy = "never"\n'
PROMPT = 'call exec_command {"cmd": "echo hello"}'


class RecordedTerminal(Terminal):
    """Keeps each screen, and when it was first shown."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        size: tuple[int, int],
    ) -> None:
        self.screens: list[tuple[float, Any]] = []
        super().__init__(command, environment, folder, size)

    def _read(self) -> bool:
        is_open = super()._read()
        screen = screen_rows(self._screen)
        if not self.screens or self.screens[-1][1] != screen:
            self.screens.append((time.monotonic(), screen))
        return is_open

    def type_slowly(self, text: str) -> None:
        for character in text:
            self.type(character)
            self.watch(TYPING)
        self.watch(0.4)
        self.type("\r")

    def watch(self, seconds: float) -> None:
        """Go on reading for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read()


def screen_rows(screen: Any) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        tuple(cell_at(screen, line, column) for column in range(screen.columns))
        for line in range(screen.lines)
    )


def cell_at(screen: Any, line: int, column: int) -> Cell:
    cell = screen.buffer[line][column]
    is_cursor = (line, column) == (screen.cursor.y, screen.cursor.x) and not screen.cursor.hidden
    color, background = (cell.bg, cell.fg) if cell.reverse else (cell.fg, cell.bg)
    if is_cursor:
        color, background = "black", "white"
    return Cell(cell.data, Style(color, background, cell.bold))


def record_session(folder: Path) -> list[Frame]:
    home, programs = folder / "home", folder / "bin"
    for path in (home / ".codex", home / "hello", programs, folder / "tmp"):
        path.mkdir(parents=True)
    (home / ".codex" / "config.toml").write_text(SANDBOX_CONFIG + QUIET_CONFIG)
    (home / ".codex" / "auth.json").write_text('{"OPENAI_API_KEY": "sk-none"}')
    (programs / "codex").symlink_to(CODEX)
    command = programs / "mitmcodex"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/scripts/package "$@"\n')
    command.chmod(0o755)
    environment = base_environment(home) | {
        "PS1": "$ ",
        "TERM": "xterm-256color",
        "TMPDIR": str(folder / "tmp"),
    }
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    shell = ["bash", "--noprofile", "--norc", "-i"]
    terminal = RecordedTerminal(shell, environment, home / "hello", SIZE)
    try:
        act_session(terminal)
    finally:
        terminal.close()
    return timed_frames(terminal.screens)


def act_session(terminal: RecordedTerminal) -> None:
    """What the person at the terminal does."""
    terminal.wait_for("$")
    terminal.type_slowly("mitmcodex up --detach")
    terminal.wait_for("ends it.", 40)
    terminal.watch(PAUSE)
    terminal.type_slowly("mitmcodex codex")
    terminal.wait_for("OpenAI Codex", 40)
    terminal.watch(PAUSE)
    terminal.type_slowly(PROMPT)
    terminal.wait_for("The tools said", 40)
    terminal.watch(PAUSE)
    terminal.type_slowly("/quit")
    terminal.wait_for("resume", 20)
    terminal.watch(PAUSE)
    terminal.type_slowly("mitmcodex status")
    terminal.wait_for("exchange", 20)
    terminal.watch(PAUSE)
    terminal.type_slowly("mitmcodex down")
    terminal.wait_for("ended the relay", 20)
    terminal.watch(0.5)


def timed_frames(screens: Sequence[tuple[float, Any]]) -> list[Frame]:
    """The screens that were there long enough, for as long, and no longer than PAUSE."""
    times = [at for at, _ in screens]
    durations = [after - at for at, after in zip(times, times[1:], strict=False)]
    frames = [
        Frame(min(seconds, PAUSE), rows)
        for seconds, (_, rows) in zip(durations, screens, strict=False)
        if seconds >= SHORTEST
    ]
    return [*frames, Frame(LAST_PAUSE, screens[-1][1])]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="recording-") as folder:
        frames = record_session(Path(folder))
    PICTURE.write_text(animated_svg(frames, TITLE), "utf-8")
    print(f"{PICTURE}: {len(frames)} frames, {PICTURE.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
