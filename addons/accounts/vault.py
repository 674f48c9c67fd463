"""The vault, where the relay saves logins: the system's keyring if one works, else a private file.

Logins stay where they were first saved. A file in the user's data folder either holds them or
marks that the keyring does. Every call blocks, for a bounded time.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from addons.accounts.keyring_store import KeyringStore, StoreDamaged
from addons.accounts.locked_file import (
    LoginStoreUnavailable,
    exclusive_lock,
    lock_path_for,
    read_private_file,
    set_damaged_file_aside,
)
from addons.accounts.oauth import LoginEnded
from addons.accounts.quota import parse_number
from addons.accounts.tokens import Tokens, fits_header
from addons.private_files import write_private_file
from addons.system_keyring import KEYRING_TIMEOUT, working_keyring
from addons.user_folders import data_folder

VERSION = 1
FOLDER_NAME = "accounts"
FILE_NAME, KEYRING_MARK_NAME = "accounts.json", "accounts.keyring"


@dataclass(frozen=True)
class SavedLogin:
    """One login as the vault keeps it."""

    tokens: Tokens
    end_reason: str | None = None  # why it can no longer be renewed
    cookie_lines: tuple[str, ...] = ()  # `Set-Cookie` values with their expiry dates

    def to_json(self) -> dict[str, Any]:
        """The login with the field names of the file, version 1."""
        return {
            "tokens": {
                "access": self.tokens.access_token,
                "refresh": self.tokens.refresh_token,
                "id": self.tokens.id_token,
                "at": self.tokens.issued_at,
            },
            "dead": self.end_reason,
            "cookies": self.cookie_lines,
        }


@dataclass(frozen=True)
class VaultContents:
    """Everything that the vault keeps."""

    selected_name: str = ""
    logins: dict[str, SavedLogin] = field(default_factory=dict)  # by account name, oldest first

    def with_login(self, name: str, login: SavedLogin) -> "VaultContents":
        return replace(self, logins={**self.logins, name: login})

    def without_login(self, name: str) -> "VaultContents":
        others = {other: login for other, login in self.logins.items() if other != name}
        return replace(self, logins=others)

    def to_text(self) -> str:
        accounts = {name: login.to_json() for name, login in self.logins.items()}
        return json.dumps(
            {"version": VERSION, "selected": self.selected_name, "accounts": accounts}
        )

    @classmethod
    def from_text(cls, text: str | bytes) -> "VaultContents":
        """Raises StoreDamaged, and LoginStoreUnavailable for a newer version."""
        try:
            document = json.loads(text)
            if document["version"] > VERSION:
                raise LoginStoreUnavailable(
                    "these logins were kept by a newer mitmcodex: update this one"
                )
            accounts = document["accounts"].items()
            logins = {name: login_from_json(login) for name, login in accounts}
            return cls(str(document["selected"]), logins)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise StoreDamaged(type(error).__name__) from None


def login_from_json(login: dict[str, Any]) -> SavedLogin:
    """Raises ValueError, LookupError, TypeError."""
    saved = login["tokens"]
    texts = [saved["access"], saved["refresh"], saved["id"], login["dead"] or "", *login["cookies"]]
    if not all(isinstance(text, str) for text in texts) or not fits_header(*texts[:3]):
        raise ValueError
    issued_at = parse_number(saved["at"]) or 0.0
    tokens = Tokens(saved["access"], saved["refresh"], saved["id"], issued_at)
    return SavedLogin(tokens, login["dead"], tuple(login["cookies"]))


class Vault:
    """All saved logins. Every method may raise LoginStoreUnavailable."""

    def __init__(self, path: Path | None = None, timeout: float = KEYRING_TIMEOUT) -> None:
        """`path`: the file to use instead of the keyring or a file in the user's data folder.
        `timeout`: seconds that the keyring may take for one call."""
        self._folder = data_folder() / FOLDER_NAME
        self._path, self._timeout = path, timeout
        self._cache: tuple[bytes | None, VaultContents] = None, VaultContents()

    @property
    def path(self) -> Path | None:
        """The file that holds the logins or marks that the keyring does; None before the first
        login."""
        usual_paths = (self._folder / KEYRING_MARK_NAME, self._folder / FILE_NAME)
        return self._path or next((path for path in usual_paths if path.exists()), None)

    def login_lock_path(self, name: str) -> Path:
        """The lock file of the process that renews this account's tokens."""
        return lock_path_for(self._lock_base.with_name(f"{self._lock_base.name}.{name}"))

    @property
    def _lock_base(self) -> Path:
        return self._path or self._folder / FILE_NAME

    def read_contents(self) -> VaultContents:
        """What the vault holds now, whichever process wrote it."""
        path = self.path
        data = read_private_file(path) if path else None
        if data == self._cache[0]:
            return self._cache[1]
        try:
            return self._read(path, data)
        except StoreDamaged:
            # Perhaps another process wrote between the reads of the file and of the keyring: read
            # once more under the lock.
            with exclusive_lock(self._lock_base):
                return self._read_or_set_aside(path)

    def update_contents(self, change: Callable[[VaultContents], VaultContents]) -> VaultContents:
        """Apply a change under the lock; returns the new contents."""
        with exclusive_lock(self._lock_base):
            path = self.path or self._default_path()
            old = self._read_or_set_aside(path)
            new = change(old)
            if new != old:
                try:
                    self._write(path, new)
                except OSError as error:
                    raise LoginStoreUnavailable(
                        f"{path} cannot be written: {error.strerror}; make room for it, or let"
                        " relay_vault (CODEX_RELAY_VAULT) name another file"
                    ) from None
        return new

    def _default_path(self) -> Path:
        return self._folder / (KEYRING_MARK_NAME if working_keyring(self._timeout) else FILE_NAME)

    def _read_or_set_aside(self, path: Path | None) -> VaultContents:
        try:
            return self._read(path, read_private_file(path) if path else None)
        except StoreDamaged as damage:
            if path:
                set_damaged_file_aside(path, damage)
            return self._read(path, None)

    def _read(self, path: Path | None, data: bytes | None) -> VaultContents:
        contents = VaultContents()
        if data is not None and path:
            text = self._keyring(path).read_text(data) if self._uses_keyring(path) else data
            contents = VaultContents.from_text(text)
        self._cache = data, contents
        return contents

    def _write(self, path: Path, contents: VaultContents) -> None:
        data = contents.to_text().encode()
        if self._uses_keyring(path):
            data = self._keyring(path).write_text(data.decode(), read_private_file(path))
        else:
            write_private_file(path, data)
        self._cache = data, contents

    def _uses_keyring(self, path: Path) -> bool:
        return path == self._folder / KEYRING_MARK_NAME

    def _keyring(self, path: Path) -> KeyringStore:
        return KeyringStore(path, self._timeout)


def has_keyring_logins() -> bool:
    """Whether the user's keyring holds logins."""
    return keyring_mark().is_file()


def delete_keyring_logins() -> None:
    """Delete the logins in the user's keyring, and the file that marks them. Raises
    LoginStoreUnavailable, OSError."""
    mark = keyring_mark()
    with contextlib.suppress(StoreDamaged):  # then it marks nothing
        KeyringStore(mark).delete_text(mark.read_bytes())
    mark.unlink()


def keyring_mark() -> Path:
    return data_folder() / FOLDER_NAME / KEYRING_MARK_NAME


class VaultLogin:
    """A LoginStore for one account's login in the vault."""

    source = "login"

    def __init__(self, vault: Vault, name: str) -> None:
        self.name, self.lock_path, self._vault = name, vault.login_lock_path(name), vault

    def read_tokens(self) -> Tokens:
        """Raises LoginEnded, LoginStoreUnavailable."""
        login = self._vault.read_contents().logins.get(self.name)
        if login is None:
            raise LoginEnded("logged_out")
        if login.end_reason:
            raise LoginEnded(login.end_reason)
        return login.tokens

    def save_tokens(self, old: Tokens, new: Tokens) -> None:
        """Replace the old tokens, unless the user has logged in again or out since."""
        self._update_login(old, lambda login: replace(login, tokens=new))

    def mark_ended(self, old: Tokens, reason: str) -> None:
        self._update_login(old, lambda login: replace(login, end_reason=reason))

    def _update_login(self, old: Tokens, change: Callable[[SavedLogin], SavedLogin]) -> None:
        def change_contents(contents: VaultContents) -> VaultContents:
            login = contents.logins.get(self.name)
            if login is None or login.tokens.refresh_token != old.refresh_token:
                return contents
            return contents.with_login(self.name, change(login))

        self._vault.update_contents(change_contents)
