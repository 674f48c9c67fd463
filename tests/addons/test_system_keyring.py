"""The system's keyring, and single passwords in it."""

import time

import keyring
import pytest
from keyring.backends import fail

from addons.system_keyring import (
    SERVICE_NAME,
    KeyringUnavailable,
    delete_password,
    read_password,
    save_password,
    use_keyring,
    working_keyring,
)
from tests.small_keyring import SmallKeyring


def test_keyring_works_if_it_returns_what_it_stores(small_keyring: SmallKeyring) -> None:
    assert working_keyring() is small_keyring
    assert small_keyring.passwords == {}
    small_keyring.trouble = OSError()
    assert working_keyring() is None
    keyring.set_keyring(fail.Keyring())
    assert working_keyring() is None


def test_passwords_are_saved_read_and_deleted_by_name(small_keyring: SmallKeyring) -> None:
    assert read_password("deepseek") is None
    save_password("deepseek", "sk-1")
    assert small_keyring.passwords == {(SERVICE_NAME, "deepseek"): "sk-1"}
    assert read_password("deepseek") == "sk-1"
    assert delete_password("deepseek") and not delete_password("deepseek")
    assert small_keyring.passwords == {}


def test_keyring_that_hangs_times_out(small_keyring: SmallKeyring) -> None:
    small_keyring.gate.clear()
    begin = time.monotonic()
    with pytest.raises(KeyringUnavailable, match=r"does not answer within 0.1 s"):
        use_keyring(lambda ring: ring.get_password("a", "b"), timeout=0.1)
    assert time.monotonic() < begin + 4


def test_what_a_backend_raises_is_named_without_its_text(small_keyring: SmallKeyring) -> None:
    small_keyring.trouble = ValueError("secret")
    with pytest.raises(KeyringUnavailable, match=r"^fails \(ValueError\)$"):
        save_password("deepseek", "sk-1")
    with pytest.raises(KeyringUnavailable, match="refuses"):
        small_keyring.trouble = keyring.errors.KeyringLocked("secret")
        read_password("deepseek")
