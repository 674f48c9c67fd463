"""A copy of this repository, and a terminal in which a user types the commands of the pages."""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from addons.launch import available_port
from tests.codex.driver import CODEX, base_environment
from tests.pages.markdown import PAGES, ROOT

COPIED = (
    *("addons", "translate", "scripts", "tests", ".github", "README.md", "CHANGELOG.md", "LICENSE"),
    *("pyproject.toml", ".gitignore", ".python-version"),
)
NOT_COPIED = shutil.ignore_patterns("__pycache__", "node_modules", ".*_cache", "*.pyc")
# The environment is complete, so that uv has nothing to install.
UV = "#!/bin/sh\n"
BASH = shutil.which("bash") or "/bin/bash"
START_TIMEOUT = 30.0  # s


def copy_repository(folder: Path) -> Path:
    """A copy with the environment of the tests as its `.venv`."""
    folder.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=NOT_COPIED)
        else:
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def read_files(root: Path) -> dict[str, bytes]:
    """The contents of every file that a script of the copy may write: cases and pages."""
    files = [root / page for page in PAGES]
    files += [file for file in (root / "tests" / "cases").rglob("*") if file.is_file()]
    return {str(file.relative_to(root)): file.read_bytes() for file in files}


class Terminal:
    """A user's terminal in a checkout. A relay that is started here listens on `port`."""

    def __init__(self, checkout: Path, home: Path) -> None:
        self.checkout, self.home = checkout, home
        self.port, self.web_port = available_port(0), available_port(0)
        self.log = home / "relay.log"
        programs = home / "bin"
        self.write("bin/uv", UV, executable=True)
        self.write("bin/codex", f'#!/bin/sh\nexec "{CODEX}" "$@"\n', executable=True)
        command = f'exec "{checkout}/scripts/mitmcodex" "$@"'
        self.write("bin/mitmcodex", f"#!/bin/sh\n{command}\n", executable=True)
        self.write(".mitmproxy/config.yaml", f"listen_host: 127.0.0.1\nlisten_port: {self.port}\n")
        path = f"{programs}{os.pathsep}{base_environment(home)['PATH']}"
        self.environment = base_environment(home) | {"PATH": path}

    def write(self, name: str, text: str, executable: bool = False) -> None:
        """Write a file in the user's home."""
        file = self.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        if executable:
            file.chmod(0o755)

    def run(self, command: str, text: str = "", timeout: float = 40) -> str:
        """What the command prints. Fails the test unless the command ends with 0."""
        done = subprocess.run(
            [BASH, "-euo", "pipefail", "-c", command],
            cwd=self.checkout,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def process(self, command: str) -> Iterator[subprocess.Popen[str]]:
        """The running command; what it prints is in its `stdout`. It is killed in the end."""
        with subprocess.Popen(
            [BASH, "-euo", "pipefail", "-c", f"exec {command}"],
            cwd=self.checkout,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def relay(self, command: str, port: int | None = None, **settings: str) -> Iterator[str]:
        """The URL of the relay that the command starts; Ctrl-C ends it."""
        variables = {f"CODEX_RELAY_{name.upper()}": value for name, value in settings.items()}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [BASH, "-euo", "pipefail", "-c", command],
                cwd=self.checkout,
                env=self.environment | variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy(process, port or self.port)
            yield f"http://127.0.0.1:{port or self.port}"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                process.wait(20)
        assert "Traceback" not in self.log.read_text()

    def _wait_until_healthy(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not is_healthy(port):
            assert process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)


def is_healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
