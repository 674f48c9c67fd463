"""The log of a relay that runs in the background: one file for each start, and the one before."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from addons.private_files import create_private_file
from addons.user_folders import state_folder

POLL_INTERVAL = 0.2  # s
BLOCK_SIZE = 65_536  # bytes


def log_path() -> Path:
    return state_folder() / "relay.log"


def begin_log() -> Path:
    """An empty private file; the log of the start before becomes relay.log.1."""
    path = log_path()
    if path.exists():
        os.replace(path, path.with_name(f"{path.name}.1"))
    create_private_file(path)
    return path


def last_lines(file: TextIO, count: int) -> list[str]:
    """The last lines, without their ends; the file is at its end then. Of a large file, only the
    part that has them is read."""
    size, part = os.fstat(file.fileno()).st_size, BLOCK_SIZE
    while True:
        file.seek(max(0, size - part))
        lines = file.read().split("\n")
        if part >= size or len(lines) >= count + 2:  # the first and the last may be incomplete
            break
        part *= 2
    if not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines[-count:]] if count else []


def follow_lines(file: TextIO, is_written: Callable[[], bool]) -> Iterator[str]:
    """The lines that are appended from now on, until nobody writes any more."""
    rest = ""
    while True:
        has_writer = is_written()  # before the read: what is written until then is read
        *lines, rest = (rest + file.read()).split("\n")
        yield from lines
        if not has_writer:
            break
        time.sleep(POLL_INTERVAL)
    if rest:
        yield rest
