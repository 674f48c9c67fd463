"""A keyring in memory with the size limit of Windows."""

import threading

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError


class SmallKeyring(KeyringBackend):
    priority = 5  # type: ignore[assignment]  # a class property there

    def __init__(self) -> None:
        super().__init__()
        self.passwords: dict[tuple[str, str], str] = {}
        self.trouble: Exception | None = None
        self.gate = threading.Event()  # calls block until it is set
        self.gate.set()
        self.writes_until_locked = -1  # -1: never

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        if len(password.encode("utf-16-le")) > 2560:
            raise OSError("The stub received bad data")
        if self.writes_until_locked == 0:
            raise KeyringLocked
        self.writes_until_locked -= 1
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        if self.passwords.pop((service, username), None) is None:
            raise PasswordDeleteError

    def _check(self) -> None:
        self.gate.wait(5)
        if self.trouble:
            raise self.trouble
