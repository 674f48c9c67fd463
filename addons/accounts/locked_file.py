"""Small files with secrets: written whole or not at all, and readable by their owner only."""

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from addons.private_files import FILE_MODE, POSIX, create_private_folder

LOCK_TIMEOUT = 15.0  # s that another process may hold a lock around a read and a write
MAX_FILE_SIZE = 64_000_000  # bytes, far more than any number of logins needs


class LoginStoreUnavailable(Exception):
    """Logins cannot be read or saved now. The text says why and what to do, without any secret."""


def read_private_file(path: Path, is_secret: Callable[[bytes], bool] = bool) -> bytes | None:
    """The file's content, None if there is no such file. If `is_secret(content)` holds, as it does
    by default unless the file is empty, and other users can read the file, this corrects its mode
    and logs a warning. Raises LoginStoreUnavailable."""
    try:
        with open(path, "rb", opener=open_nonblocking) as file:
            data = read_regular_file(path, file)
            if is_secret(data):
                make_private(path, file.fileno())
            return data
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LoginStoreUnavailable(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # the path contains a null byte
        raise LoginStoreUnavailable(f"{path} cannot be read: {error}") from None


def open_nonblocking(path: str, flags: int) -> int:
    """Open without waiting: a pipe would otherwise block until another process writes into it."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_regular_file(path: Path, file: BinaryIO) -> bytes:
    """Raises LoginStoreUnavailable for pipes, devices and files that are too large."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise LoginStoreUnavailable(f"{path} cannot be read: it is not a regular file")
    data = file.read(MAX_FILE_SIZE + 1)
    if len(data) > MAX_FILE_SIZE:
        message = f"{path} cannot be read: it is larger than {MAX_FILE_SIZE:,} bytes"
        raise LoginStoreUnavailable(message)
    return data


def make_private(path: Path, handle: int) -> None:
    """Correct the file's mode if other users can read it, and log a warning. Raises
    LoginStoreUnavailable if the file belongs to another user."""
    status = os.fstat(handle)
    if not POSIX or not stat.S_IMODE(status.st_mode) & 0o077:
        return
    try:
        os.fchmod(handle, 0o600)
    except OSError:
        raise LoginStoreUnavailable(
            f"{path} can be read by other users, and the relay cannot change it: chmod 600 {path}"
        ) from None
    logging.warning(
        f"{path} could be read by other users of this machine; it is 0600 now. If somebody else"
        " may have read it, log out and in again: that makes its old content worthless."
    )


def set_damaged_file_aside(path: Path, why: object) -> None:
    """Rename a damaged file, so that its content is not lost. Raises LoginStoreUnavailable."""
    path = path.resolve()
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    aside = aside if not aside.exists() else aside.with_name(f"{aside.name}-{time.time_ns()}")
    try:
        os.replace(path, aside)
    except OSError as error:
        message = f"{path} is damaged, and cannot be moved: {error.strerror}"
        raise LoginStoreUnavailable(message) from None
    logging.warning(f"{path} is damaged ({why}): it is now {aside.name}; log in again")


def lock_path_for(path: Path) -> Path:
    """The lock file of `path`. It is never removed: one process could otherwise lock the removed
    file while another locks its successor."""
    path = path.resolve()
    return path.with_name(f"{path.name}.lock")


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Keep all other threads and processes off this file. Waits LOCK_TIMEOUT at most. Raises
    LoginStoreUnavailable."""
    lock_path = lock_path_for(path)
    try:
        create_private_folder(lock_path.parent)
        lock = FileLock(lock_path, timeout=LOCK_TIMEOUT, mode=FILE_MODE).acquire()
    except Timeout:
        message = f"another process has held {lock_path} for {LOCK_TIMEOUT:g} s"
        raise LoginStoreUnavailable(message) from None
    except OSError as error:
        raise LoginStoreUnavailable(f"{lock_path} cannot be locked: {error.strerror}") from None
    with lock:
        yield
