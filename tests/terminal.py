"""A program in a terminal: what a person types, and what the screen shows."""

import os
import pty
import re
import select
import signal
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyte

if sys.platform != "win32":
    import fcntl
    import termios

# What a terminal answers when a program asks: where the cursor is, what it is, which keys it sends,
# and its colours.
ANSWERS = {
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?62;c",
    b"\x1b[?u": b"\x1b[?0u",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
}
# Which keys the program wants to hear of, in a protocol that pyte would print.
KEYBOARD_MODES = re.compile(rb"\x1b\[[<>=][0-9;]*u")


class Terminal:
    """The constructor starts the program. `close` kills it if it still runs."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        size: tuple[int, int] = (40, 110),  # rows, columns
    ) -> None:
        self._screen = pyte.Screen(size[1], size[0])
        self._stream = pyte.ByteStream(self._screen)
        self.process_id, self._file = pty.fork()
        if self.process_id == 0:  # the child
            try:
                os.chdir(folder)
                os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - no shell
            finally:  # else the child would go on with the tests
                os._exit(127)
        self.resize(*size)
        self._status: int | None = None

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display)

    def resize(self, rows: int, columns: int) -> None:
        self._screen.resize(rows, columns)
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def wait_for(self, text: str, timeout: float = 20.0) -> None:
        """Wait until the screen shows the text."""
        deadline = time.monotonic() + timeout
        while text not in self.text:
            is_open = self._read()
            assert time.monotonic() < deadline and (is_open or text in self.text), self.text

    def wait_for_end(self, timeout: float = 20.0) -> int:
        """Wait until the program has ended; its exit status."""
        deadline = time.monotonic() + timeout
        while self._status is None:
            self._read()
            ended, status = os.waitpid(self.process_id, os.WNOHANG)
            if ended:
                self._status = os.waitstatus_to_exitcode(status)
            assert time.monotonic() < deadline, self.text
        while self._read():
            pass
        return self._status

    def close(self) -> None:
        if self._status is None:
            os.kill(self.process_id, signal.SIGKILL)
            os.waitpid(self.process_id, 0)
        os.close(self._file)

    def _read(self) -> bool:
        """Show what the program has written; False after its end, if there is nothing more."""
        readable, _, _ = select.select([self._file], [], [], 0.05)
        if not readable:
            return self._status is None
        try:
            data = os.read(self._file, 1 << 16)
        except OSError:  # how Linux says that the other end is closed
            return False
        for question, answer in ANSWERS.items():
            if question in data:
                os.write(self._file, answer)
        self._stream.feed(KEYBOARD_MODES.sub(b"", data))
        return bool(data)
