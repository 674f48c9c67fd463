import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from addons.launch import available_port
from scripts.cli.errors import CommandFailed
from scripts.cli.relay_client import error_text, request_json
from scripts.cli.running_relay import RunningRelay

KEY = "a-long-random-text"
REPLIES = {
    "/json": (200, {"a": 1}),
    "/refused": (403, {"error": {"message": "ask the admin"}}),
    "/broken": (500, {}),
}


class RelayPaths(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        has_key = self.headers["authorization"] == f"Bearer {KEY}"
        status, body = REPLIES[self.path] if has_key else (401, {})
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningRelay]:
    monkeypatch.setenv("CODEX_RELAY_CLIENT_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # which is not used
    with ThreadingHTTPServer(("127.0.0.1", 0), RelayPaths) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield RunningRelay(server.server_port, {})
        server.shutdown()


def test_owner_of_the_relay_sees_everything(relay: RunningRelay) -> None:
    assert request_json(relay, "GET", "/json") == {"a": 1}


@pytest.mark.parametrize(
    ("path", "words"), [("/refused", "ask the admin"), ("/broken", "answered 500 to /broken")]
)
def test_refusal_is_in_the_words_of_the_relay(path: str, words: str, relay: RunningRelay) -> None:
    with pytest.raises(CommandFailed, match=words):
        request_json(relay, "GET", path)


def test_relay_that_has_ended_is_a_failure() -> None:
    port = available_port(0)
    with pytest.raises(CommandFailed, match=f"port {port} gave no answer") as failure:
        request_json(RunningRelay(port, {}), "GET", "/json")
    assert "mitmcodex logs" in failure.value.next_step


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"error": {"message": ["no"]}}', "the relay answered 502 to /v1/models"),
        (b"<html>", "the relay answered 502 to /v1/models"),
    ],
)
def test_words_of_an_error(body: bytes, words: str) -> None:
    assert error_text(502, body, "/v1/models") == words
