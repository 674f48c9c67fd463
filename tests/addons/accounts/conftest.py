from pathlib import Path

import pytest

from tests.addons.accounts.pool_harness import PoolHarness


@pytest.fixture
def harness(tmp_path: Path) -> PoolHarness:
    return PoolHarness(tmp_path)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vault's default folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "mitmcodex" / "accounts"
