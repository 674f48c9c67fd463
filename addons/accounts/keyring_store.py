"""Long texts in the system's keyring.

Windows accepts 2,560 bytes a value and one login is longer, so on every system a text is stored in
pieces. A file on disk marks the valid pieces. A new text goes into the other one of two slots, and
counts once that file is replaced: neither a crash nor another process leaves half a text.
"""

import json
import logging
import secrets
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

from addons.accounts.locked_file import LoginStoreUnavailable
from addons.private_files import write_private_file
from addons.system_keyring import KEYRING_TIMEOUT, SERVICE_NAME, KeyringUnavailable, use_keyring

PIECE_LENGTH = 1000  # characters; Windows uses two bytes for each
OTHER_SLOT = {"a": "b", "b": "a"}  # slot of the current text → slot of the next one


class StoreDamaged(Exception):
    """The store does not hold what the relay wrote; the text says what is wrong."""


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

    def delete_text(self, mark: bytes) -> None:
        """Delete the text whose pieces `mark` names. The file stays."""
        try:
            id = str(json.loads(mark)["id"])
        except (ValueError, LookupError, TypeError) as error:
            raise StoreDamaged(f"{type(error).__name__}") from None
        for slot in OTHER_SLOT:
            self._call(partial(delete_pieces, id=id, slot=slot))

    def _call[T](self, task: Callable[[KeyringBackend], T]) -> T:
        try:
            return use_keyring(task, self._timeout)
        except KeyringUnavailable as unavailable:
            raise LoginStoreUnavailable(
                f"The system's keyring {unavailable}, and the logins are in it: unlock it, or let"
                " relay_vault (CODEX_RELAY_VAULT) name a file and log in again."
            ) from None


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
