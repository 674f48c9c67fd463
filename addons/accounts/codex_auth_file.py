"""Codex's own login in its `auth.json`, which Codex and the relay both read and write.

A refresh token is good for one use. So the relay reads the file before each use and writes renewed
tokens back into it: neither program logs the other out. The rest of the file stays as it is.
"""

import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from addons.accounts.locked_file import (
    LoginStoreUnavailable,
    lock_path_for,
    read_private_file,
)
from addons.accounts.oauth import LoginEnded
from addons.accounts.tokens import Tokens, fits_header
from addons.private_files import write_private_file

# Codex writes the file in place, so a reader may see half of it.
READ_ATTEMPTS, READ_PAUSE = 5, 0.05  # s between two attempts


class CodexAuthFile:
    """A LoginStore for the login in Codex's file. Every method blocks, for a bounded time."""

    source = "codex"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock_path = lock_path_for(self.path)
        self._ended_login: tuple[str, str] | None = None  # its refresh token, and the reason

    def read_tokens(self) -> Tokens:
        """Raises LoginEnded, LoginStoreUnavailable."""
        tokens = self.stored_tokens()
        if reason := self.end_reason_of(tokens):
            raise LoginEnded(reason)
        return tokens

    def stored_tokens(self) -> Tokens:
        """The tokens in the file, even those of a login that has ended. Raises
        LoginStoreUnavailable."""
        return tokens_from_document(self.path, read_document(self.path))

    def end_reason_of(self, tokens: Tokens) -> str | None:
        """Why these tokens can no longer be renewed, None if they can."""
        if self._ended_login and self._ended_login[0] == tokens.refresh_token:
            return self._ended_login[1]
        return None

    def save_tokens(self, old: Tokens, new: Tokens) -> None:
        """Replace the old tokens, unless Codex has renewed them or logged in again since. The
        caller holds the lock at `lock_path`. Raises LoginStoreUnavailable."""
        document = read_document(self.path)
        if tokens_from_document(self.path, document).refresh_token != old.refresh_token:
            return
        values = {
            "id_token": new.id_token,
            "access_token": new.access_token,
            "refresh_token": new.refresh_token,
        }
        document["tokens"] |= {name: value for name, value in values.items() if value}
        document["last_refresh"] = format_iso_time(new.issued_at)
        try:
            write_private_file(self.path, json.dumps(document, indent=2).encode())
        except OSError as error:
            message = f"{self.path} cannot be written: {error.strerror}"
            raise LoginStoreUnavailable(message) from None

    def mark_ended(self, old: Tokens, reason: str) -> None:
        """Remember in memory only that this login has ended: Codex will replace it in the file when
        the user logs in again."""
        self._ended_login = old.refresh_token, reason


class NotALogin(Exception):
    """A file that a client named has no login of Codex's in it. The text is the same for all such
    files, and for those that do not exist or cannot be read, so that it says nothing of them."""

    def __init__(self) -> None:
        super().__init__("path: there is no login of Codex's that the relay can read")


def import_login(path_text: str) -> tuple[Tokens, str]:
    """The tokens of Codex's login, to be copied into the vault, and a notice for the user. Raises
    NotALogin, after the same time for all files."""
    for _ in range(READ_ATTEMPTS):
        with contextlib.suppress(LoginStoreUnavailable, RuntimeError):  # RuntimeError: `~user`
            path = Path(path_text).expanduser()
            data = read_private_file(path, may_hold_login) or b""
            tokens = tokens_from_document(path, parse_document(data) or {})
            return tokens, copy_notice(path)
        time.sleep(READ_PAUSE)
    raise NotALogin


def copy_notice(path: Path) -> str:
    return (
        f"The login of {path} was copied. Codex and the relay now share one refresh token, which is"
        " good for one use: whichever renews first stays logged in, and the other has to log in"
        f" again. relay_chatgpt_auth={path} uses the file in place, where both stay logged in."
    )


def read_document(path: Path) -> dict[str, Any]:
    """The whole file. Raises LoginStoreUnavailable."""
    for _ in range(READ_ATTEMPTS):
        data = read_private_file(path, may_hold_login)
        if data is None:
            raise LoginStoreUnavailable(
                f"{path} does not exist: `codex login` writes it, unless Codex keeps its login in"
                ' the keyring (the relay can read it with cli_auth_credentials_store = "file")'
            )
        document = parse_document(data)
        if document is not None:
            return document
        time.sleep(READ_PAUSE)
    raise LoginStoreUnavailable(f"{path} is not an auth.json of Codex: log in with `codex login`")


def parse_document(data: bytes) -> dict[str, Any] | None:
    """The content of a file as JSON; None if it is no object, or not whole."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def may_hold_login(data: bytes) -> bool:
    """Whether the file may be an auth.json: the relay must not change the mode of another file."""
    return b'"access_token"' in data


def tokens_from_document(path: Path, document: dict[str, Any]) -> Tokens:
    """Raises LoginStoreUnavailable."""
    saved = document.get("tokens")
    saved = saved if isinstance(saved, dict) else {}
    texts = [saved.get(name) or "" for name in ("access_token", "refresh_token", "id_token")]
    match texts:
        case [str(access), str(refresh), str(id)] if access and fits_header(access, refresh, id):
            return Tokens(access, refresh, id, parse_iso_time(document.get("last_refresh")))
    raise LoginStoreUnavailable(f"{path} has no ChatGPT login in it: log in with `codex login`")


def parse_iso_time(text: Any) -> float:
    """Unix seconds of an ISO 8601 time, 0.0 for anything else."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0


def format_iso_time(seconds: float) -> str:
    """Unix seconds in the form that Codex writes."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
