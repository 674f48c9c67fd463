"""Long texts in the system's keyring, with a time limit on each call.

Windows accepts 2,560 bytes a value and one login is longer, so on every system a text is stored in
pieces. A file on disk marks the valid pieces. A new text goes into the other one of two slots, and
counts once that file is replaced: neither a crash nor another process leaves half a text.
"""

import json
import logging
import queue
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import Future
from hashlib import sha256
from pathlib import Path
from typing import Any

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError, PasswordDeleteError

from addons.accounts.locked_file import LoginStoreUnavailable, write_private_file

KEYRING_TIMEOUT = 20.0  # s for one task, during which the user may have to unlock the keyring
SERVICE_NAME = "codex-relay"  # the name of the first releases, under which logins are found
PIECE_LENGTH = 1000  # characters; Windows uses two bytes for each
OTHER_SLOT = {"a": "b", "b": "a"}  # slot of the current text → slot of the next one


class StoreDamaged(Exception):
    """The store does not hold what the relay wrote; the text says what is wrong."""


class KeyringThread:
    """Runs tasks on one daemon thread: a task that blocks for ever does not keep the process from
    ending."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]]
        self._tasks = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__[T](self, task: Callable[[], T], timeout: float = KEYRING_TIMEOUT) -> T:
        """Run the task and return its result. Raises TimeoutError, and what the task raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="relay-keyring", daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._tasks.put((future, task))
        try:
            return future.result(timeout)
        finally:
            future.cancel()  # so that a task that has timed out in the queue never runs

    def _run(self) -> None:
        while True:
            future, task = self._tasks.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(task())
                except BaseException as error:
                    future.set_exception(error)


_run_on_thread = KeyringThread()


def working_keyring(timeout: float = KEYRING_TIMEOUT) -> KeyringBackend | None:
    """The system's keyring if it returns what the relay stores in it, else None. Never raises."""
    probe = secrets.token_hex(8)

    def probe_keyring() -> KeyringBackend | None:
        backend = keyring.get_keyring()
        if backend.priority < 1:  # a backend that fails, that forgets or that stores plain text
            return None
        backend.set_password(SERVICE_NAME, f"probe-{probe}", probe)
        stored = backend.get_password(SERVICE_NAME, f"probe-{probe}")
        backend.delete_password(SERVICE_NAME, f"probe-{probe}")
        return backend if stored == probe else None

    try:
        return _run_on_thread(probe_keyring, timeout)
    except Exception as error:  # backends raise whatever their systems do
        logging.info(f"The system's keyring is not used: {type(error).__name__}")
        return None


class KeyringStore:
    """One text in the keyring, and the file at `path` that marks its pieces. Methods raise
    LoginStoreUnavailable, StoreDamaged, OSError."""

    def __init__(self, path: Path, timeout: float = KEYRING_TIMEOUT) -> None:
        self._path, self._timeout = path, timeout

    def read_text(self, mark: bytes) -> str:
        """The text whose pieces `mark` names, the content of the file."""
        try:
            fields = json.loads(mark)
            id, slot, count = str(fields["id"]), str(fields["slot"]), int(fields["pieces"])
            digest = str(fields["sha256"])
        except (ValueError, LookupError, TypeError) as error:
            raise StoreDamaged(f"{type(error).__name__}") from None
        pieces = self._call(lambda ring: [read_piece(ring, id, slot, n) for n in range(count)])
        text = "".join(piece or "" for piece in pieces)
        if sha256(text.encode()).hexdigest() != digest:
            raise StoreDamaged("the keyring does not hold the text that belongs to this file")
        return text

    def write_text(self, text: str, mark: bytes | None) -> bytes:
        """Store the text and write the file. `mark`: the file's content before, None if it does
        not exist. Returns its new content."""
        old = json.loads(mark) if mark else {"id": secrets.token_hex(8), "slot": "b"}
        id, old_slot = old["id"], old["slot"]
        slot = OTHER_SLOT[old_slot]
        pieces = [text[start : start + PIECE_LENGTH] for start in range(0, len(text), PIECE_LENGTH)]

        def write_pieces(ring: KeyringBackend) -> None:
            for number, piece in enumerate(pieces):
                ring.set_password(SERVICE_NAME, f"{id}-{slot}-{number}", piece)

        self._call(write_pieces)
        digest = sha256(text.encode()).hexdigest()
        new = {"id": id, "slot": slot, "pieces": len(pieces), "sha256": digest}
        new_mark = json.dumps(new).encode()
        write_private_file(self._path, new_mark)
        try:
            self._call(lambda ring: delete_pieces(ring, id, old_slot))
        except LoginStoreUnavailable as error:
            logging.warning(f"An old login is still in the keyring: {error}")
        return new_mark

    def _call[T](self, task: Callable[[KeyringBackend], T]) -> T:
        try:
            return _run_on_thread(lambda: task(keyring.get_keyring()), self._timeout)
        except TimeoutError:
            why = f"does not answer within {self._timeout:g} s"
        except KeyringError as error:
            why = f"refuses ({type(error).__name__})"
        except Exception as error:  # backends raise whatever their systems do
            why = f"fails ({type(error).__name__})"
        raise LoginStoreUnavailable(
            f"The system's keyring {why}, and the logins are in it: unlock it, or let relay_vault"
            " (CODEX_RELAY_VAULT) name a file and log in again."
        )


def read_piece(ring: KeyringBackend, id: str, slot: str, number: int) -> str | None:
    return ring.get_password(SERVICE_NAME, f"{id}-{slot}-{number}")


def delete_pieces(ring: KeyringBackend, id: str, slot: str) -> None:
    """Delete every piece in this slot, including those of a text that was never completed."""
    number = 0
    while read_piece(ring, id, slot, number) is not None:
        try:
            ring.delete_password(SERVICE_NAME, f"{id}-{slot}-{number}")
        except PasswordDeleteError:  # another process has deleted it
            return
        number += 1
