"""Keyrings for all tests of the addons."""

from collections.abc import Iterator

import keyring
import pytest
from keyring.backends import fail

from tests.small_keyring import SmallKeyring


@pytest.fixture
def small_keyring() -> Iterator[SmallKeyring]:
    """A working keyring."""
    previous, backend = keyring.get_keyring(), SmallKeyring()
    keyring.set_keyring(backend)
    yield backend
    backend.gate.set()
    keyring.set_keyring(previous)


@pytest.fixture
def no_keyring() -> Iterator[None]:
    previous = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    yield
    keyring.set_keyring(previous)
