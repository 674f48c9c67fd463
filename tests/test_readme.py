"""README.md says what holds."""

import re
from pathlib import Path

from tests.readme import MADE, TABLES, made

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_its_first_two_commands_run_and_test() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", README, re.M | re.S)
    assert [block.strip() for block in blocks[:2]] == ["./scripts/run", "./scripts/test"]


def test_its_tables_are_up_to_date() -> None:
    """`./scripts/readme` writes them."""
    assert [name for _, name, _ in MADE.findall(README)] == list(TABLES)
    assert made(README) == README
