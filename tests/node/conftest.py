"""The official SDK for Node, which scripts/setup installs where there is npm."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.codex.driver import base_environment

HERE = Path(__file__).parent
SDK = HERE / "node_modules" / "openai"


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> "Node":
    program = shutil.which("node")
    if program is None:
        pytest.skip("no Node is installed (Debian: apt-get install nodejs npm)")
    if not SDK.exists():
        pytest.skip("OpenAI's SDK for Node is not installed (./scripts/test does that with npm)")
    return Node(program, tmp_path_factory.mktemp("node"))


class Node:
    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.environment = program, base_environment(folder)

    def chat(self, **fields: Any) -> Any:
        """The result of tests/node/chat.mjs with these fields."""
        return json.loads(self.run(["chat.mjs"], json.dumps(fields)))

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
