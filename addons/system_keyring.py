"""The system's keyring, with a time limit on each call: it may wait for the user to unlock it."""

import logging
import queue
import secrets
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError, NoKeyringError, PasswordDeleteError

KEYRING_TIMEOUT = 20.0  # s for one task, during which the user may have to unlock the keyring
SERVICE_NAME = "codex-relay"  # the name of the first releases, under which entries are found


class KeyringUnavailable(Exception):
    """The keyring does not do what it is asked to; the text says why, after "the keyring"."""


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


def use_keyring[T](task: Callable[[KeyringBackend], T], timeout: float = KEYRING_TIMEOUT) -> T:
    """The task's result. Raises KeyringUnavailable, whose text has nothing of what is stored."""
    try:
        return _run_on_thread(lambda: task(keyring.get_keyring()), timeout)
    except TimeoutError:
        why = f"does not answer within {timeout:g} s"
    except KeyringError as error:
        why = f"refuses ({type(error).__name__})"
    except Exception as error:  # backends raise whatever their systems do
        why = f"fails ({type(error).__name__})"
    raise KeyringUnavailable(why)


def working_keyring(timeout: float = KEYRING_TIMEOUT) -> KeyringBackend | None:
    """The system's keyring if it returns what the relay stores in it, else None. Never raises."""
    probe = secrets.token_hex(8)

    def probe_keyring(ring: KeyringBackend) -> KeyringBackend | None:
        if ring.priority < 1:  # a backend that fails, that forgets or that stores plain text
            return None
        ring.set_password(SERVICE_NAME, f"probe-{probe}", probe)
        stored = ring.get_password(SERVICE_NAME, f"probe-{probe}")
        ring.delete_password(SERVICE_NAME, f"probe-{probe}")
        return ring if stored == probe else None

    try:
        return use_keyring(probe_keyring, timeout)
    except KeyringUnavailable as unavailable:
        logging.info(f"The system's keyring is not used: it {unavailable}")
        return None


# Single passwords, such as a provider's key


def read_password(name: str) -> str | None:
    """The password of this name; None if there is none. Raises KeyringUnavailable."""
    return use_keyring(lambda ring: ring.get_password(SERVICE_NAME, name))


def stored_names(names: Iterable[str]) -> list[str]:
    """Those of the names that have a password; none on a system without a keyring. Raises
    KeyringUnavailable."""

    def look_up(ring: KeyringBackend) -> list[str]:
        try:
            return [name for name in names if ring.get_password(SERVICE_NAME, name) is not None]
        except NoKeyringError:
            return []

    return use_keyring(look_up)


def save_password(name: str, password: str) -> None:
    """Raises KeyringUnavailable."""
    use_keyring(lambda ring: ring.set_password(SERVICE_NAME, name, password))


def delete_password(name: str) -> bool:
    """Whether there was a password of this name. Raises KeyringUnavailable."""

    def delete_if_present(ring: KeyringBackend) -> bool:
        if ring.get_password(SERVICE_NAME, name) is None:
            return False
        try:
            ring.delete_password(SERVICE_NAME, name)
        except PasswordDeleteError:  # another process has deleted it
            return False
        return True

    return use_keyring(delete_if_present)
