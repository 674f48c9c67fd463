import json
import os
import stat
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from addons.launch import available_port
from scripts.cli import running_relay
from scripts.cli.errors import CommandFailed
from scripts.cli.running_relay import (
    StartedRelay,
    find_running_relay,
    forget_started_relay,
    read_started_relay,
    require_running_relay,
    save_started_relay,
    state_path,
    wait_for_answer,
    web_page_path,
)

NOBODY = 2**22 + 1  # no process has this number


@pytest.fixture(autouse=True)
def state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(running_relay, "DEFAULT_PORT", available_port(0))
    return tmp_path


@pytest.fixture
def noted_relay(monkeypatch: pytest.MonkeyPatch) -> StartedRelay:
    """A relay whose process is this one."""
    relay = StartedRelay(os.getpid(), available_port(0), "mitmweb", "mark")
    monkeypatch.setattr("psutil.Process.environ", lambda process: {"RELAY_MARK": "mark"})
    save_started_relay(relay)
    return relay


def test_note_is_private_and_read_again(noted_relay: StartedRelay) -> None:
    assert read_started_relay() == noted_relay
    assert stat.S_IMODE(state_path().stat().st_mode) == 0o600
    assert [path.name for path in state_path().parent.iterdir()] == ["relay.json"]
    forget_started_relay()
    assert read_started_relay() is None


@pytest.mark.parametrize("change", [{"pid": NOBODY}, {"mark": "of the relay before the reboot"}])
def test_note_of_an_ended_process_counts_for_nothing(
    change: dict[str, str], noted_relay: StartedRelay
) -> None:
    state_path().write_text(json.dumps({**noted_relay.__dict__, **change}))
    assert read_started_relay() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "port": 1}', "null"])
def test_broken_note_counts_for_nothing(text: str) -> None:
    state_path().parent.mkdir()
    state_path().write_text(text)
    assert read_started_relay() is None and find_running_relay() is None


class LlamaServer(BaseHTTPRequestHandler):
    """llama.cpp's server has the same port and the same path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

    def log_message(self, *arguments: object) -> None:
        pass


def test_other_server_is_no_relay() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), LlamaServer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        with pytest.raises(CommandFailed, match=f"runs on port {server.server_port}") as caught:
            require_running_relay(server.server_port)
        server.shutdown()
    assert "mitmcodex up" in caught.value.next_step


def test_silent_relay_is_not_waited_for_without_end(noted_relay: StartedRelay) -> None:
    assert wait_for_answer(noted_relay, 0.2) is None
    assert wait_for_answer(replace(noted_relay, pid=NOBODY), 60) is None


def test_page_of_mitmweb_is_in_a_file_of_its_own(noted_relay: StartedRelay) -> None:
    relay = running_relay.RunningRelay(1, {}, noted_relay)
    assert relay.web_page == ""
    web_page_path().write_text("http://127.0.0.1:8081/?token=abc\n")
    assert relay.web_page == "http://127.0.0.1:8081/?token=abc"
    dump = running_relay.RunningRelay(1, {}, replace(noted_relay, program="mitmdump"))
    assert dump.web_page == "" and running_relay.RunningRelay(1, {}).web_page == ""


RELAY = {"status": "ok", "version": "1.0", "uptime": 1.0}


def test_relay_of_another_user_is_used_only_if_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual_port = running_relay.DEFAULT_PORT
    monkeypatch.setattr(running_relay, "read_health", lambda port: RELAY)
    monkeypatch.setattr(running_relay, "has_own_listener", lambda port: False)
    for port in (None, usual_port, 4711):
        number = port or usual_port
        with pytest.raises(CommandFailed, match=f"port {number} may be another user's$") as failure:
            require_running_relay(port)
        assert f"MITMCODEX_TRUSTED_PORT={number} " in failure.value.next_step
    monkeypatch.setenv("MITMCODEX_TRUSTED_PORT", "4711")
    relay = find_running_relay(4711)
    assert relay and relay.port == 4711 and find_running_relay() is None
    monkeypatch.setattr(running_relay, "has_own_listener", lambda port: True)
    assert find_running_relay()


def test_other_relay_on_its_port_is_not_the_one_that_was_started(
    noted_relay: StartedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_relay, "has_own_listener", lambda port: True)
    for mark, is_started in [("mark", True), ("of another", False)]:
        health = {**RELAY, "mark": mark}
        monkeypatch.setattr(running_relay, "read_health", lambda port, health=health: health)
        relay = find_running_relay(noted_relay.port)
        assert relay and (relay.started == noted_relay) is is_started


def test_relay_that_hangs_is_not_called_ended(noted_relay: StartedRelay) -> None:
    for port in (None, noted_relay.port):
        with pytest.raises(CommandFailed, match="runs and does not answer") as failure:
            require_running_relay(port)
        assert "mitmcodex down" in failure.value.next_step
