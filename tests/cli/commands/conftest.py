"""A relay in the background that the tests of a worker share, and the command in this process."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from addons.launch import available_port
from tests.cli.user_home import CommandHere, UserHome


@dataclass(frozen=True)
class BackgroundRelay:
    home: UserHome
    port: int
    output: str  # of the `mitmcodex up` that has started it
    messages: str

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(relay_pid(self.home))


def relay_pid(home: UserHome) -> int:
    pid: int = json.loads((home.state_folder / "relay.json").read_text())["pid"]
    return pid


@pytest.fixture(scope="session")
def background_relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundRelay]:
    """Do not end it, and do not change its home."""
    home, port = UserHome(tmp_path_factory.mktemp("home")), available_port(0)
    proxy = f"http://127.0.0.1:{port}"  # the relay itself
    arguments = ("up", "--detach", "--web", "--port", str(port))
    up = home.run_command(*arguments, HTTPS_PROXY=proxy)
    assert up.returncode == 0, up.stderr
    relay = BackgroundRelay(home, port, up.stdout, up.stderr)
    yield relay
    with contextlib.suppress(psutil.NoSuchProcess):
        relay.process.terminate()
        relay.process.wait(15)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandHere:
    return CommandHere(tmp_path, monkeypatch, capfd)
