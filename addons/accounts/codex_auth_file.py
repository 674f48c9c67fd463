"""Codex's own login, used where it lies: `auth.json`, which Codex reads and writes as well.

A refresh token is good for one use. So the file is read anew before each use, and what we renew
goes back into it: neither Codex nor we are logged out by the other. All else in it stays as it is.
"""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from addons.accounts import locked_file as disk
from addons.accounts.locked_file import Unavailable
from addons.accounts.oauth import Dead
from addons.accounts.tokens import Tokens, sendable

TRIES, PAUSE = 5, 0.05  # s; Codex writes it in place, and a reader may see half of it


class CodexFile:
    """One account's login there, as `fresh` renews it. All of it blocks, for a bounded time."""

    source = "codex"

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()
        self.lock = disk.lock_of(self.path)
        self._dead: tuple[str, str] | None = None  # of which refresh token, and why

    def read(self) -> Tokens:
        """Raises Dead, Unavailable."""
        tokens = self.found()
        if dead := self.dead(tokens):
            raise Dead(dead)
        return tokens

    def found(self) -> Tokens:
        """What is there, be it dead. Raises Unavailable."""
        return tokens_of(self.path, document(self.path))

    def dead(self, tokens: Tokens) -> str | None:
        """Why these can be renewed no more."""
        return self._dead[1] if self._dead and self._dead[0] == tokens.refresh else None

    def keep(self, old: Tokens, new: Tokens) -> None:
        """Unless Codex renewed it or logged in anew meanwhile. Under `lock`, which fresh holds."""
        told = document(self.path)
        if tokens_of(self.path, told).refresh != old.refresh:
            return
        names = {"id_token": new.id, "access_token": new.access, "refresh_token": new.refresh}
        told["tokens"] |= {name: value for name, value in names.items() if value}
        told["last_refresh"] = timestamp(new.at)
        try:
            disk.write(self.path, json.dumps(told, indent=2).encode())
        except OSError as error:
            raise Unavailable(f"{self.path} cannot be written: {error.strerror}") from None

    def bury(self, old: Tokens, reason: str) -> None:
        """Only here: a login that Codex has anew is another one."""
        self._dead = old.refresh, reason


def import_(path: Path) -> tuple[Tokens, str]:
    """A copy of Codex's login for the vault, and what the user must know of it. Raises
    Unavailable."""
    try:
        path = path.expanduser()
    except RuntimeError:
        raise Unavailable(f"{path}: there is no such user") from None
    return tokens_of(path, document(path)), (
        f"The login of {path} was copied. Codex and the relay now share one refresh token, which is"
        " good for one use: who renews first stays logged in, and the other has to log in again."
        f" relay_chatgpt_auth={path} uses the file in place, where both stay logged in."
    )


def document(path: Path) -> dict[str, Any]:
    """The whole file. Raises Unavailable."""
    for _ in range(TRIES):
        data = disk.read(path, has_login)
        if data is None:
            raise Unavailable(
                f"{path} is not there: `codex login` writes it, unless Codex is told to keep logins"
                ' in the keyring (cli_auth_credentials_store = "file" is what we can read)'
            )
        try:
            told = json.loads(data)
        except (ValueError, RecursionError):
            time.sleep(PAUSE)
            continue
        if isinstance(told, dict):
            return told
        break
    raise Unavailable(f"{path} is no auth.json of Codex's: log in with `codex login`")


def has_login(data: bytes) -> bool:
    """Whether it may be what its name says; other files are not ours to change."""
    return b'"access_token"' in data


def tokens_of(path: Path, told: dict[str, Any]) -> Tokens:
    kept = told.get("tokens")
    kept = kept if isinstance(kept, dict) else {}
    texts = [kept.get(name) or "" for name in ("access_token", "refresh_token", "id_token")]
    match texts:
        case [str(access), str(refresh), str(id)] if access and sendable(access, refresh, id):
            return Tokens(access, refresh, id, moment(told.get("last_refresh")))
    raise Unavailable(f"{path} has no ChatGPT login in it: log in with `codex login`")


def moment(text: Any) -> float:
    """Unix seconds of an ISO 8601 time, 0 where it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0


def timestamp(at: float) -> str:
    """As Codex writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
