from pathlib import Path

import pytest

from tests.addons.accounts.pool_harness import PoolHarness


@pytest.fixture
def harness(tmp_path: Path) -> PoolHarness:
    return PoolHarness(tmp_path)
