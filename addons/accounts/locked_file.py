"""Small files with secrets in them: written whole or not at all, and read by their owner only."""

import contextlib
import errno
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkstemp
from typing import BinaryIO

from filelock import FileLock, Timeout

PATIENCE = 15.0  # s that another process may hold a lock around a read and a write
LARGEST = 64_000_000  # bytes of a file, which is more logins than anybody has
POSIX = os.name == "posix"  # elsewhere modes say nothing; the user's folders have their own rules


class Unavailable(Exception):
    """Logins cannot be read or kept now; the text says why, and what to do. It names no secret."""


def write(path: Path, data: bytes) -> None:
    """In place of what was there; after a crash it is the one or the other. Raises OSError."""
    path = path.resolve()  # a symlink stays one
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600, whatever the umask
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        swap(name, path, data)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    settle(path.parent)


def swap(name: str, path: Path, data: bytes) -> None:
    try:
        os.replace(name, path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        with path.open("r+b") as file:  # it is mounted by itself, as containers do it
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        os.unlink(name)


def settle(folder: Path) -> None:
    """So that a name in it outlasts a power cut."""
    if POSIX:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read(path: Path, secret: Callable[[bytes], bool] = bool) -> bytes | None:
    """None where there is no such file. One that others could read is theirs no more: its mode is
    put right, with a warning, if what is in it is `secret`. Raises Unavailable."""
    try:
        with open(path, "rb", opener=opened) as file:
            data = content(path, file)
            if secret(data):
                make_private(path, file.fileno())
            return data
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a name that none can be
        raise Unavailable(f"{path} cannot be read: {error}") from None


def opened(path: str, flags: int) -> int:
    """At once: a pipe would be waited for until somebody writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def content(path: Path, file: BinaryIO) -> bytes:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise Unavailable(f"{path} cannot be read: it is no file")
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Unavailable(f"{path} cannot be read: it is larger than {LARGEST:,} bytes")
    return data


def make_private(path: Path, handle: int) -> None:
    """Raises Unavailable for a file of another user's."""
    found = os.fstat(handle)
    if not POSIX or not stat.S_IMODE(found.st_mode) & 0o077:
        return
    try:
        os.fchmod(handle, 0o600)
    except OSError:
        raise Unavailable(
            f"{path} can be read by other users, and it is not ours to change: chmod 600 {path}"
        ) from None
    logging.warning(
        f"{path} could be read by other users of this machine; it is 0600 now. If somebody else"
        " uses it, log out and in again, so that what it held is worth nothing."
    )


def set_aside(path: Path, why: object) -> None:
    """A damaged file keeps what is in it under another name. Raises Unavailable."""
    path = path.resolve()
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    aside = aside if not aside.exists() else aside.with_name(f"{aside.name}-{time.time_ns()}")
    try:
        os.replace(path, aside)
    except OSError as error:
        raise Unavailable(f"{path} is damaged, and cannot be moved: {error.strerror}") from None
    logging.warning(f"{path} is damaged ({why}): it is now {aside.name}; log in again")


def lock_of(path: Path) -> Path:
    """The file by which processes take turns; it stays, as one that is removed locks nobody out."""
    path = path.resolve()
    return path.with_name(f"{path.name}.lock")


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """With this file, among all threads and processes. Raises Unavailable."""
    lock = lock_of(path)
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        turn = FileLock(lock, timeout=PATIENCE, mode=0o600).acquire()
    except Timeout:
        raise Unavailable(f"{lock} is held by another process for {PATIENCE:g} s") from None
    except OSError as error:
        raise Unavailable(f"{lock} cannot be locked: {error.strerror}") from None
    with turn:
        yield
