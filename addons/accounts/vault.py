"""Where logins lie: in the system's keyring if one works, else in a file of their owner's only.

Where they were put once they stay: the file in the user's data folder tells, be it that it has
them or that the keyring does. Everything here blocks, each call for a bounded time.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from addons.accounts import keyring_store as ring
from addons.accounts import locked_file as disk
from addons.accounts.keyring_store import Damaged, Ring
from addons.accounts.locked_file import Unavailable
from addons.accounts.oauth import Dead
from addons.accounts.quota import number
from addons.accounts.tokens import Tokens, sendable

VERSION = 1
FOLDER = "accounts"
FILE, RINGED = "accounts.json", "accounts.keyring"


@dataclass(frozen=True)
class Entry:
    """One login."""

    tokens: Tokens
    dead: str | None = None  # why it can be renewed no more
    cookies: tuple[str, ...] = ()  # as `Set-Cookie` has them, with the time at which they end


@dataclass(frozen=True)
class Book:
    """All that is kept."""

    selected: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)  # by the account's name, oldest first

    def having(self, name: str, entry: Entry) -> "Book":
        return replace(self, entries={**self.entries, name: entry})

    def without(self, name: str) -> "Book":
        others = {one: kept for one, kept in self.entries.items() if one != name}
        return replace(self, entries=others)

    def dump(self) -> str:
        entries = {name: asdict(entry) for name, entry in self.entries.items()}
        return json.dumps({"version": VERSION, "selected": self.selected, "accounts": entries})

    @classmethod
    def load(cls, text: str | bytes) -> "Book":
        """Raises Damaged; Unavailable for a newer form."""
        try:
            told = json.loads(text)
            if told["version"] > VERSION:
                raise Unavailable("these logins were kept by a newer codex-relay: update this one")
            entries = {name: entry_of(one) for name, one in told["accounts"].items()}
            return cls(str(told["selected"]), entries)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise Damaged(type(error).__name__) from None


def entry_of(told: dict[str, Any]) -> Entry:
    kept = told["tokens"]
    texts = [kept["access"], kept["refresh"], kept["id"], told["dead"] or "", *told["cookies"]]
    if not all(isinstance(text, str) for text in texts) or not sendable(*texts[:3]):
        raise ValueError
    tokens = Tokens(kept["access"], kept["refresh"], kept["id"], number(kept["at"]) or 0.0)
    return Entry(tokens, told["dead"], tuple(told["cookies"]))


class Vault:
    """Raises Unavailable from all that it does."""

    def __init__(self, path: Path | None = None, patience: float = ring.PATIENCE) -> None:
        """`path`: a file, else the keyring or a file in the user's data folder."""
        self._folder = user_data_path("codex-relay", appauthor=False) / FOLDER
        self._path, self._patience = path and path.expanduser(), patience
        self._known: tuple[bytes | None, Book] = None, Book()

    @property
    def path(self) -> Path | None:
        """The file that has the logins, or says where in the keyring they are; None: not yet."""
        places = (self._folder / RINGED, self._folder / FILE)
        return self._path or next((place for place in places if place.exists()), None)

    def lock(self, name: str) -> Path:
        """The file that says who renews this account's tokens."""
        return disk.lock_of(self._beside.with_name(f"{self._beside.name}.{name}"))

    @property
    def _beside(self) -> Path:
        return self._path or self._folder / FILE

    def read(self) -> Book:
        """What is there now, whoever put it there."""
        path = self.path
        data = disk.read(path) if path else None
        if data == self._known[0]:
            return self._known[1]
        try:
            return self._read(path, data)
        except Damaged:  # be it that it was replaced between two looks: with the lock it is not
            with disk.alone(self._beside):
                return self._sound(path)

    def change(self, work: Callable[[Book], Book]) -> Book:
        """What is there after a change that no other process comes into."""
        with disk.alone(self._beside):
            path = self.path or self._chosen()
            old = self._sound(path)
            new = work(old)
            if new != old:
                try:
                    self._write(path, new)
                except OSError as error:
                    raise Unavailable(
                        f"{path} cannot be written: {error.strerror}; make room for it, or let"
                        " relay_vault (CODEX_RELAY_VAULT) name another file"
                    ) from None
        return new

    def _chosen(self) -> Path:
        return self._folder / (RINGED if ring.working(self._patience) else FILE)

    def _sound(self, path: Path | None) -> Book:
        try:
            return self._read(path, disk.read(path) if path else None)
        except Damaged as damage:
            if path:
                disk.set_aside(path, damage)
            return self._read(path, None)

    def _read(self, path: Path | None, data: bytes | None) -> Book:
        book = Book()
        if data is not None and path:
            text = self._ring(path).read(data) if self._in_ring(path) else data
            book = Book.load(text)
        self._known = data, book
        return book

    def _write(self, path: Path, book: Book) -> None:
        data = book.dump().encode()
        if self._in_ring(path):
            data = self._ring(path).write(data.decode(), disk.read(path))
        else:
            disk.write(path, data)
        self._known = data, book

    def _in_ring(self, path: Path) -> bool:
        return path == self._folder / RINGED

    def _ring(self, path: Path) -> Ring:
        return Ring(path, self._patience)


class Slot:
    """One account's login in the vault, as `fresh` renews it."""

    source = "login"

    def __init__(self, vault: Vault, name: str) -> None:
        self.name, self.lock, self._vault = name, vault.lock(name), vault

    def read(self) -> Tokens:
        """Raises Dead, Unavailable."""
        entry = self._vault.read().entries.get(self.name)
        if entry is None:
            raise Dead("logged_out")
        if entry.dead:
            raise Dead(entry.dead)
        return entry.tokens

    def keep(self, old: Tokens, new: Tokens) -> None:
        """Unless somebody logged in anew or out meanwhile."""
        self._update(old, lambda entry: replace(entry, tokens=new))

    def bury(self, old: Tokens, reason: str) -> None:
        self._update(old, lambda entry: replace(entry, dead=reason))

    def _update(self, old: Tokens, work: Callable[[Entry], Entry]) -> None:
        def changed(book: Book) -> Book:
            entry = book.entries.get(self.name)
            same = entry is not None and entry.tokens.refresh == old.refresh
            return book.having(self.name, work(entry)) if entry and same else book

        self._vault.change(changed)
