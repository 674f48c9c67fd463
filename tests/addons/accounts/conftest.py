from collections.abc import Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backends import fail

from tests.addons.accounts.pool_harness import PoolHarness
from tests.addons.accounts.small_keyring import SmallKeyring


@pytest.fixture
def harness(tmp_path: Path) -> PoolHarness:
    return PoolHarness(tmp_path)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vault's default folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "mitmcodex" / "accounts"


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
