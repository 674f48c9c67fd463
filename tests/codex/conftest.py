"""One relay and one provider for all tests of a worker; a new Codex for each test."""

import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.codex.driver import Codex, Mode, Relay
from tests.fake_provider import FakeProvider

NewCodex = Callable[..., Codex]
PIXEL = Path(__file__).with_name("pixel.png")


@pytest.fixture(scope="session")
def upstream() -> Iterator[FakeProvider]:
    provider = FakeProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="session")
def relay(upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """The relay, started as users do."""
    relay = Relay(
        tmp_path_factory.mktemp("relay"), upstream=upstream.url, api_key=upstream.key or ""
    )
    yield relay
    relay.stop()


@pytest.fixture
def provider(upstream: FakeProvider, relay: Relay) -> Iterator[FakeProvider]:
    """The upstream of the relay, reset between tests."""
    upstream.reset()
    read = len(relay.log)
    yield upstream
    upstream.verify()
    assert "Traceback" not in relay.log[read:]


@pytest.fixture
def codex(tmp_path: Path, relay: Relay) -> NewCodex:
    """Makes a `driver.Codex`: `codex()`, or `codex(mode, relay=…, config=…)`."""
    numbers = itertools.count()

    def make(mode: Mode = Mode.PROVIDER, relay: Relay = relay, **options: str) -> Codex:
        return Codex(tmp_path / f"codex{next(numbers)}", mode, relay, **options)

    return make


@pytest.fixture
def mcp() -> str:
    """Configuration with which Codex starts the MCP server tiny_mcp.py, and waits for it."""
    pytest.importorskip("mcp")  # not on Python 3.12: see pyproject.toml
    server = Path(__file__).with_name("tiny_mcp.py")
    return f"""
[mcp_servers.tiny]
command = {json.dumps(sys.executable)}
args = [{json.dumps(str(server))}]
required = true
"""
