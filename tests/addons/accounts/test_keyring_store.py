"""Long texts in a keyring with the limits of Windows."""

import time
from pathlib import Path

import pytest

from addons.accounts.keyring_store import (
    PIECE_LENGTH,
    KeyringStore,
    StoreDamaged,
)
from addons.accounts.locked_file import LoginStoreUnavailable
from tests.small_keyring import SmallKeyring

TEXT = "0123456789" * 450
PIECES = len(TEXT) // PIECE_LENGTH + 1


@pytest.fixture
def store(tmp_path: Path, small_keyring: SmallKeyring) -> KeyringStore:
    return KeyringStore(tmp_path / "mark")


def test_text_is_stored_in_pieces_that_the_file_marks(
    tmp_path: Path, store: KeyringStore, small_keyring: SmallKeyring
) -> None:
    mark = store.write_text(TEXT, None)
    assert (tmp_path / "mark").read_bytes() == mark
    assert len(small_keyring.passwords) == PIECES
    assert store.read_text(mark) == TEXT
    shorter = store.write_text("short", mark)
    assert store.read_text(shorter) == "short" and len(small_keyring.passwords) == 1


def test_incomplete_write_does_not_count_and_leaves_nothing_later(
    store: KeyringStore, small_keyring: SmallKeyring
) -> None:
    mark = store.write_text(TEXT, None)
    small_keyring.writes_until_locked = 3
    with pytest.raises(LoginStoreUnavailable, match="KeyringLocked"):
        store.write_text(TEXT[::-1], mark)
    small_keyring.writes_until_locked = -1
    assert store.read_text(mark) == TEXT
    mark = store.write_text("short", mark)
    mark = store.write_text(TEXT, mark)
    assert store.read_text(mark) == TEXT and len(small_keyring.passwords) == PIECES


def test_deleted_text_leaves_nothing(store: KeyringStore, small_keyring: SmallKeyring) -> None:
    mark = store.write_text("short", store.write_text(TEXT, None))
    store.delete_text(mark)
    assert small_keyring.passwords == {}
    with pytest.raises(StoreDamaged):
        store.delete_text(b"{}")


def test_missing_piece_is_damage(store: KeyringStore, small_keyring: SmallKeyring) -> None:
    mark = store.write_text(TEXT, None)
    small_keyring.passwords.popitem()
    with pytest.raises(StoreDamaged):
        store.read_text(mark)


@pytest.mark.parametrize("mark", [b"{", b"[]", b"\xff", b'{"id": "a"}'])
def test_mark_that_cannot_be_read_is_damage(store: KeyringStore, mark: bytes) -> None:
    with pytest.raises(StoreDamaged):
        store.read_text(mark)


def test_keyring_that_hangs_times_out(
    tmp_path: Path, store: KeyringStore, small_keyring: SmallKeyring
) -> None:
    mark = store.write_text(TEXT, None)
    small_keyring.gate.clear()
    begin = time.monotonic()
    with pytest.raises(LoginStoreUnavailable, match=r"does not answer within 0.1 s"):
        KeyringStore(tmp_path / "mark", timeout=0.1).read_text(mark)
    assert time.monotonic() < begin + 2
    small_keyring.gate.set()
    assert store.read_text(mark) == TEXT


def test_error_of_the_backend_names_its_type(
    store: KeyringStore, small_keyring: SmallKeyring
) -> None:
    small_keyring.trouble = ValueError("secret")
    with pytest.raises(LoginStoreUnavailable, match=r"fails \(ValueError\)") as error:
        store.write_text(TEXT, None)
    assert "secret" not in str(error.value)
