"""Programs that answer at `/health`, and are no relay or a hostile one."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from addons import relay_health
from addons.relay_health import read_health

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
RELAY = b'{"status": "ok", "version": "1.0", "uptime": 1.5}'


@contextmanager
def answering(*pieces: bytes, pause: float = 0.0) -> Iterator[int]:
    """A port that answers one request with these pieces, as long as the client reads them."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            for piece in pieces:
                try:
                    connection.sendall(piece)
                except OSError:
                    return
                time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_relay_is_known_by_its_answer() -> None:
    with answering(HEAD, RELAY) as port:
        health = read_health(port)
    assert health == {"status": "ok", "version": "1.0", "uptime": 1.5}
    assert read_health(port) is None  # nothing listens any more


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        HEAD,
        HEAD + b'{"status": "ok"}',
        HEAD + b'{"status": "ok", "version": ["1.0"], "uptime": 1}',
        HEAD + b'{"status": "ok", "version": "1.0", "uptime": "long"}',
        HEAD + b"[" * 100_000,
        HEAD + b"\xff\xfe",
        HEAD.replace(b"200 OK", b"404 Not Found") + RELAY,
        HEAD + b" " * (relay_health.HEALTH_LIMIT + 1) + RELAY,
    ],
    ids=range(9),
)
def test_other_answer_is_no_relay(reply: bytes) -> None:
    with answering(reply) as port:
        assert read_health(port) is None


def test_answer_in_drops_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_health, "HEALTH_TIMEOUT", 0.2)
    with answering(HEAD, *[b" "] * 1000, pause=0.01) as port:
        start = time.monotonic()
        assert read_health(port) is None
        assert time.monotonic() - start < 8  # all drops take ten seconds
