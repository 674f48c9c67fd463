"""Codex on another machine, by proxy: the key is in the URL of its proxy."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.addons.ingress.relays import own_address
from tests.codex.conftest import NewCodex
from tests.codex.driver import Mode, Relay
from tests.fake_provider import FakeProvider
from tests.replies import say

KEY = "a-long-random-client-key"
PROXY_MODES = pytest.mark.parametrize("mode", [mode for mode in Mode if mode.by_proxy])


@pytest.fixture
def shared_relay(upstream: FakeProvider, tmp_path: Path) -> Iterator[Relay]:
    """A relay for other machines, at this machine's address in its network."""
    address = own_address()
    relay = Relay(
        tmp_path / "relay",
        *("--listen-host", "0.0.0.0"),  # noqa: S104
        upstream=upstream.url,
        api_key=upstream.key or "",
        client_key=f"laptop:{KEY}",
    )
    relay.url = f"http://{address}:{relay.port}"
    yield relay
    relay.stop()


@PROXY_MODES
def test_key_in_the_url_of_the_proxy_lets_codex_in(
    mode: Mode, codex: NewCodex, shared_relay: Relay, provider: FakeProvider
) -> None:
    shared_relay.url = shared_relay.url.replace("//", f"//relay:{KEY}@")
    provider.reply(say("Hello from afar."))
    run = codex(mode, relay=shared_relay).exec("Say hello, please.")
    assert (run.exit_code, run.text) == (0, "Hello from afar.")
    assert KEY not in shared_relay.log


def test_codex_without_the_key_gets_no_tunnel(
    codex: NewCodex, shared_relay: Relay, provider: FakeProvider
) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as error:  # Codex tries for most of a minute
        codex(Mode.PROXY_KEY, relay=shared_relay).exec("Say hello, please.", timeout=12)
    assert b"HTTP CONNECT failed with status 407" in (error.value.output or b"")
    assert provider.posted_requests == []
