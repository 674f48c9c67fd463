import tomllib
from pathlib import Path

from addons.identity import ORIGINATOR, USER_AGENT, VERSION

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_version_and_name_are_those_of_the_project() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    assert (project["name"], project["version"]) == (ORIGINATOR, VERSION)


def test_user_agent_names_the_relay_and_its_version() -> None:
    assert f"{ORIGINATOR}/{VERSION}" == USER_AGENT
