import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from addons import relay_health
from addons.launch import available_port
from addons.relay_health import read_health
from scripts.cli import running_relay
from tests.cli.commands.conftest import BackgroundRelay, relay_pid
from tests.cli.user_home import COMMAND, CommandHere, UserHome

# Runs a command in a terminal of its own, which is closed when this helper ends.
IN_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[UserHome]:
    home = UserHome(tmp_path)
    yield home
    with contextlib.suppress(OSError, psutil.NoSuchProcess):
        psutil.Process(relay_pid(home)).kill()


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while not read_health(port):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)


def test_relay_in_the_background(background_relay: BackgroundRelay) -> None:
    relay = background_relay
    assert f"listens at http://127.0.0.1:{relay.port} " in relay.output
    assert "dashboard" in relay.output and "?token=" in relay.output
    assert "mitmcodex logs -f" in relay.messages and "mitmcodex down" in relay.messages
    process = relay.process
    assert os.getsid(process.pid) == process.pid  # no terminal can take it along
    assert "HTTPS_PROXY" not in process.environ()
    assert "token" not in " ".join(process.cmdline())
    assert "token" not in json.dumps(read_health(relay.port))
    files = [path.relative_to(relay.home.path) for path in relay.home.path.rglob("*.*")]
    folders = {".", ".mitmproxy", ".local/share/mitmcodex", ".local/state/mitmcodex"}
    assert {file.parent.as_posix() for file in files} <= folders


def test_second_start_says_where_the_relay_runs(
    background_relay: BackgroundRelay, command: CommandHere
) -> None:
    command.move_to(background_relay.home)
    again = command.run_line("up --web")
    assert again.status == 0
    assert again.output == f"The relay runs already:\n{background_relay.output}"
    other = command.run_line("up --provider ollama --port 1")
    assert (other.status, other.output) == (1, "")
    assert "with other settings: provider, --port\n" in other.messages
    assert "mitmcodex down" in other.messages


def test_two_starts_at_once_are_one_relay(home: UserHome) -> None:
    port = str(available_port(0))
    starts = [home.start_command("up", "-d", "--port", port) for _ in range(2)]
    outputs = [start.communicate(timeout=60) for start in starts]
    assert [start.returncode for start in starts] == [0, 0], outputs
    assert sorted("The relay runs already:" in output for output, _ in outputs) == [False, True]
    assert all(f"http://127.0.0.1:{port} " in output for output, _ in outputs)


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
def test_relay_in_a_terminal(home: UserHome, command: CommandHere) -> None:
    port = available_port(0)
    terminal_command = [sys.executable, "-c", IN_TERMINAL, *COMMAND, "up", "--port", str(port)]
    with subprocess.Popen(
        terminal_command,
        env=home.environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as terminal:
        assert terminal.stdin
        wait_for(port, terminal)
        logs = command.run_line("logs")
        assert logs.status == 1 and "runs in a terminal" in logs.messages
        assert command.run_line("up").status == 0
        terminal.stdin.write("\x03")
        terminal.stdin.flush()
        output = terminal.communicate(timeout=30)[0]
    assert f"listens at http://127.0.0.1:{port} " in output and "Traceback" not in output
    assert read_health(port) is None


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
def test_hang_up_of_the_terminal_is_survived(home: UserHome, command: CommandHere) -> None:
    port = available_port(0)
    terminal_command = [sys.executable, "-c", IN_TERMINAL, *COMMAND]
    with subprocess.Popen(
        [*terminal_command, "up", "-d", "--port", str(port)],
        env=home.environment({}),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as terminal:
        assert terminal.wait(50) == 0  # the terminal is closed now
    process = psutil.Process(relay_pid(home))
    assert process.is_running() and read_health(port)
    process.send_signal(signal.SIGKILL)  # a crash
    process.wait(10)
    assert running_relay.read_started_relay() is None  # in this home, by `command`


@pytest.mark.parametrize(
    ("line", "variables", "words"),
    [
        ("up -d", {"CODEX_RELAY_UPSTREAM": "x"}, ["CODEX_RELAY_UPSTREAM is 'x'"]),
        ("up --provider kimmi", {}, ["'kimmi'", "kimi"]),
        ("up -- -p 1", {}, ["use --port"]),
        ("up -d --port {free} -- --set relay_modle=x", {}, ["relay_modle is unknown"]),
        ("up -d --port {taken}", {}, [f"(pid {os.getpid()}) has it", "another port with --port"]),
    ],
)
def test_start_that_fails_says_what_to_do(
    line: str,
    variables: dict[str, str],
    words: list[str],
    command: CommandHere,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(relay_health, "HEALTH_TIMEOUT", 0.2)  # s
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"free": available_port(0), "taken": other.getsockname()[1]}
        up = command.run_line(line.format(**ports))
    assert up.status in (1, 2) and up.output == ""
    assert all(word in up.messages for word in words) and "Traceback" not in up.messages
    assert len(up.messages.splitlines()) <= 3 and "  → " in up.messages
    assert not (command.home.state_folder / "relay.json").exists()
