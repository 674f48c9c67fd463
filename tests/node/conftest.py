"""Clients that run on Node. scripts/setup installs them where there is npm."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.codex.driver import base_environment

HERE = Path(__file__).parent
PACKAGES = json.loads((HERE / "package.json").read_text())["dependencies"]
INSTALLED = HERE / "node_modules"


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> "Node":
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node is installed (Debian: apt-get install nodejs npm)")
    for package in PACKAGES:
        if not (INSTALLED / package).exists():
            pytest.skip(f"{package} is not installed (./scripts/test does that with npm)")
    return Node(program, tmp_path_factory.mktemp("node"))


class Node:
    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.environment = program, base_environment(folder)

    def run_script(self, script: str, **fields: Any) -> Any:
        """The result of a script of tests/node with these fields."""
        return json.loads(self.run([script], json.dumps(fields)))

    def run(self, arguments: list[str], text: str) -> str:
        done = subprocess.run(
            [self.program, *arguments],
            cwd=HERE,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
