"""README.md says what holds."""

import re
from pathlib import Path

import pytest

from addons.settings import FIELDS, SECRETS
from tests.readme import table

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_its_first_two_commands_run_and_test() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", README, re.M | re.S)
    assert [block.strip() for block in blocks[:2]] == ["./scripts/run", "./scripts/test"]


@pytest.mark.parametrize("name", FIELDS)
def test_every_option_stands_there(name: str) -> None:
    field = FIELDS[name]
    default = field.default
    if name in SECRETS or default in ("", (), None):
        default = ""
    elif isinstance(default, bool):
        default = "on" if default else "off"
    else:
        default = f"{default:g}"
    assert field.examples
    row = f"| `relay_{name}` | {default} | {field.description} | `{field.examples[0]}` |"
    assert row in README


def test_every_file_stands_there() -> None:
    for folder in ("translate", "addons"):
        for file in (ROOT / folder).glob("[a-z]*.*"):
            assert file.name in README, file


def test_every_provider_stands_there() -> None:
    assert f"-->\n{table()}<!--" in README
