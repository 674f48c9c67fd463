import tomllib
from pathlib import Path

from addons.identity import ORIGINATOR, USER_AGENT, VERSION

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_project_has_the_name_of_the_relay() -> None:
    assert tomllib.loads(PROJECT.read_text("utf-8"))["project"]["name"] == ORIGINATOR


def test_user_agent_names_the_relay_and_its_version() -> None:
    assert f"{ORIGINATOR}/{VERSION}" == USER_AGENT
