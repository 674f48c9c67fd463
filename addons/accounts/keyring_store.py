"""The system's keyring, where there is one that works: long texts in it, and calls with an end.

Windows takes 2,560 bytes a value, and one login is longer; so a text lies there in pieces, for all
systems alike. A file beside says which pieces are the valid ones: replacing that file is the one
step that makes a new text count, so that neither a crash nor another process sees half of one.
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

from addons.accounts import locked_file as disk
from addons.accounts.locked_file import Unavailable

PATIENCE = 20.0  # s for a single piece of work, in which a user may have to unlock it
SERVICE = "codex-relay"
PIECE = 1000  # characters; Windows keeps two bytes for each
SLOTS = {"a": "b", "b": "a"}  # the one in use, and that for the next text


class Damaged(Exception):
    """What is there is not what was put there; the text says how."""


class Calls:
    """Calls that may block for ever, by one thread that nobody has to wait for at the end."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]]
        self._waiting = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__[T](self, work: Callable[[], T], patience: float = PATIENCE) -> T:
        """Raises TimeoutError, and what the work raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="relay-keyring", daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._waiting.put((future, work))
        try:
            return future.result(patience)
        finally:
            future.cancel()  # it has not begun, and nobody waits for it any more

    def _run(self) -> None:
        while True:
            future, work = self._waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)


_calls = Calls()


def working(patience: float = PATIENCE) -> KeyringBackend | None:
    """The keyring, if it gives back what it is given. Never raises."""
    probe = secrets.token_hex(8)

    def tried() -> KeyringBackend | None:
        backend = keyring.get_keyring()
        if backend.priority < 1:  # none, one that forgets, or one that keeps plain text
            return None
        backend.set_password(SERVICE, f"probe-{probe}", probe)
        found = backend.get_password(SERVICE, f"probe-{probe}")
        backend.delete_password(SERVICE, f"probe-{probe}")
        return backend if found == probe else None

    try:
        return _calls(tried, patience)
    except Exception as error:  # backends raise whatever their systems do
        logging.info(f"The system's keyring is not used: {type(error).__name__}")
        return None


class Ring:
    """One text in the keyring, and its file. Raises Unavailable, Damaged, OSError."""

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self._path, self._patience = path, patience

    def read(self, mark: bytes) -> str:
        """The text that the file's content stands for."""
        try:
            told = json.loads(mark)
            id, slot, count = str(told["id"]), str(told["slot"]), int(told["pieces"])
            digest = str(told["sha256"])
        except (ValueError, LookupError, TypeError) as error:
            raise Damaged(f"{type(error).__name__}") from None
        pieces = self._call(lambda ring: [piece(ring, id, slot, n) for n in range(count)])
        text = "".join(one or "" for one in pieces)
        if sha256(text.encode()).hexdigest() != digest:
            raise Damaged("the keyring has not what belongs to it")
        return text

    def write(self, text: str, mark: bytes | None) -> bytes:
        """The file's new content, which is there when this returns; `mark`: what it was."""
        told = json.loads(mark) if mark else {"id": secrets.token_hex(8), "slot": "b"}
        id, old = told["id"], told["slot"]
        slot = SLOTS[old]
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]

        def put(ring: KeyringBackend) -> None:
            for number, one in enumerate(pieces):
                ring.set_password(SERVICE, f"{id}-{slot}-{number}", one)

        self._call(put)
        digest = sha256(text.encode()).hexdigest()
        new = {"id": id, "slot": slot, "pieces": len(pieces), "sha256": digest}
        data = json.dumps(new).encode()
        disk.write(self._path, data)
        try:
            self._call(lambda ring: clear(ring, id, old))
        except Unavailable as error:
            logging.warning(f"An old login is still in the keyring: {error}")
        return data

    def _call[T](self, work: Callable[[KeyringBackend], T]) -> T:
        try:
            return _calls(lambda: work(keyring.get_keyring()), self._patience)
        except TimeoutError:
            why = f"does not answer within {self._patience:g} s"
        except KeyringError as error:
            why = f"refuses ({type(error).__name__})"
        except Exception as error:  # backends raise whatever their systems do
            why = f"fails ({type(error).__name__})"
        raise Unavailable(
            f"The system's keyring {why}, and the logins are in it: unlock it, or let relay_vault"
            " (CODEX_RELAY_VAULT) name a file and log in again."
        )


def piece(ring: KeyringBackend, id: str, slot: str, number: int) -> str | None:
    return ring.get_password(SERVICE, f"{id}-{slot}-{number}")


def clear(ring: KeyringBackend, id: str, slot: str) -> None:
    """Leave nothing of this slot, of a text that was never finished neither."""
    number = 0
    while piece(ring, id, slot, number) is not None:
        try:
            ring.delete_password(SERVICE, f"{id}-{slot}-{number}")
        except PasswordDeleteError:  # another process was faster
            return
        number += 1
