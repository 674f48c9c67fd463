"""The lock files from which scripts/run, scripts/test and scripts/check --oldest install."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(params=["requirements", "oldest"])
def lock(request: pytest.FixtureRequest) -> str:
    return (ROOT / "scripts" / f"{request.param}.lock").read_text()


def locked_packages(lock: str) -> list[tuple[str, str]]:
    return re.findall(r"^([a-z0-9._-]+)==.*\\\n((?:    --hash=.*\n)*)", lock, re.MULTILINE)


def test_every_version_has_its_hashes(lock: str) -> None:
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    assert len(locked_packages(lock)) == len(pinned) > 40
    for name, hashes in locked_packages(lock):
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", hashes), name


def test_lock_names_no_address(lock: str) -> None:
    assert "://" not in lock
    assert "index-url" not in lock


def test_lock_has_everything_that_pyproject_requires(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    requirements = list(project["project"]["dependencies"])
    for group in project["dependency-groups"].values():
        requirements += [entry for entry in group if isinstance(entry, str)]  # no include-group
    names = {re.split(r"[<>=;\[ ]", requirement)[0] for requirement in requirements}
    assert names <= {name for name, _ in locked_packages(lock)}
