"""scripts/requirements.lock: what scripts/run and scripts/test install from."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "scripts" / "requirements.lock").read_text()
ENTRIES = re.findall(r"^([a-z0-9._-]+)==.*\\\n((?:    --hash=.*\n)*)", LOCK, re.MULTILINE)


def test_every_version_has_its_hashes() -> None:
    pinned = [line for line in LOCK.splitlines() if "==" in line and not line.startswith(" ")]
    assert len(ENTRIES) == len(pinned) > 40
    for name, hashes in ENTRIES:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", hashes), name


def test_it_names_no_address() -> None:
    assert "://" not in LOCK
    assert "index-url" not in LOCK


def test_it_locks_all_that_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"])
    for group in project["dependency-groups"].values():
        asked += group
    names = {re.split(r"[<>=;\[ ]", requirement)[0] for requirement in asked}
    assert names <= {name for name, _ in ENTRIES}
