"""A keyring in a file, for commands that run as processes of their own: set PYTHON_KEYRING_BACKEND
to BACKEND and TEST_KEYRING to the file."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

BACKEND = "tests.cli.file_keyring.FileKeyring"
FILE_VARIABLE = "TEST_KEYRING"


class FileKeyring(KeyringBackend):
    priority = 5  # type: ignore[assignment]  # a class property there

    def get_password(self, service: str, username: str) -> str | None:
        return read_passwords().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        write_passwords(read_passwords() | {f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        passwords = read_passwords()
        if passwords.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError
        write_passwords(passwords)


def keyring_path() -> Path:
    return Path(os.environ[FILE_VARIABLE])


def read_passwords() -> dict[str, str]:
    path = keyring_path()
    passwords: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return passwords


def write_passwords(passwords: dict[str, str]) -> None:
    keyring_path().write_text(json.dumps(passwords))
