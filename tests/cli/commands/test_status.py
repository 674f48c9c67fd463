import json
import urllib.request

from addons.launch import available_port
from tests.cli.commands.conftest import BackgroundRelay
from tests.cli.user_home import CommandHere


def ask_relay(port: int) -> str:
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "Hello"}]})
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - ours
        text: str = json.load(reply)["choices"][0]["message"]["content"]
    return text


def test_status_counts_exchanges(background_relay: BackgroundRelay, command: CommandHere) -> None:
    command.move_to(background_relay.home)
    before = json.loads(command.run_line("status --json").output)
    assert before["running"] and before["process"] == background_relay.process.pid
    assert "demonstration" in ask_relay(background_relay.port)
    after = json.loads(command.run_line("status --json").output)
    count = after["exchanges"]["completed"]
    assert count == before["exchanges"].get("completed", 0) + 1
    status = command.run_line("status")
    assert status.status == 0 and status.output.startswith(background_relay.output)
    assert f"process {before['process']}, for " in status.output
    assert f"({count} completed)" in status.output and "relay.log" in status.output


def test_status_without_a_relay(command: CommandHere) -> None:
    port = available_port(0)
    status = command.run_line(f"status --port {port}")
    assert status.status == 3 and "mitmcodex up" in status.output
    assert json.loads(command.run_line(f"status --json --port {port}").output) == {"running": False}
