"""Model servers on this machine."""

import asyncio
import http.server
import threading
from collections.abc import Iterator

import pytest

from addons.config import ConfigFile
from addons.launch import available_port
from scripts.cli.setup.local_servers import find_local_servers
from tests.fake_provider import FakeProvider
from translate import Provider

RELAY_HEALTH = b'{"status": "ok", "version": "0.2.0", "uptime": 1.5}'


class RelayHandler(http.server.BaseHTTPRequestHandler):
    """A relay: its health, and a list of models."""

    def do_GET(self) -> None:
        body = RELAY_HEALTH if self.path == "/health" else b'{"data": [{"id": "demo"}]}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def relay_url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), RelayHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def local_provider(name: str, url: str) -> Provider:
    return (
        ConfigFile.empty()
        .providers["generic"]
        .model_copy(update={"name": name, "base_urls": (url,)})
    )


def test_servers_that_answer_are_found_and_the_relay_itself_is_not(
    provider: FakeProvider, relay_url: str
) -> None:
    provider.key = None
    table = {
        "open": local_provider("open", provider.url),
        "silent": local_provider("silent", f"http://127.0.0.1:{available_port(0)}/v1"),
        "relay": local_provider("relay", relay_url),
        "remote": local_provider("remote", "https://api.example.invalid/v1"),
    }
    [server] = asyncio.run(find_local_servers(table, timeout=5))
    assert (server.provider.name, server.model_count) == ("open", 2)
    provider.refusals.clear()


def test_server_that_asks_for_a_key_is_found(provider: FakeProvider) -> None:
    [server] = asyncio.run(find_local_servers({"a": local_provider("a", provider.url)}, timeout=5))
    assert server.model_count is None
    provider.refusals.clear()
