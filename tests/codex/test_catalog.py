"""The models that Codex learns from the relay, and keeps."""

import socket
from pathlib import Path

from addons.codex_blocks import provider_block
from tests.codex.conftest import NewCodex
from tests.codex.driver import Mode, Relay
from tests.fake_provider import FakeProvider
from tests.replies import say

METADATA_WARNING = "Model metadata for"


def test_codex_by_base_url_knows_the_models(
    codex: NewCodex, provider: FakeProvider, relay: Relay
) -> None:
    """Without `model_catalog_url` and a key, Codex warns and its `/model` shows OpenAI's models."""
    provider.reply(say("Hello."))
    client = codex(Mode.BASE_URL)
    (client.home / "config.toml").write_text(provider_block(relay.url, "fake-model"))
    (client.home / "auth.json").unlink()
    run = client.exec("Hello.")
    assert run.text == "Hello."
    assert not [message for message in run.error_messages if METADATA_WARNING in message]
    assert "fake-model" in (client.home / "models_cache.json").read_text()


def test_codex_goes_on_from_the_demonstration_to_a_provider(
    codex: NewCodex, provider: FakeProvider, relay: Relay, tmp_path: Path
) -> None:
    """Codex's default is the first model of its cached list, which is the demonstration's."""
    demonstration = Relay(tmp_path / "demonstration")
    try:
        client = codex(Mode.PROXY_KEY, demonstration)
        assert "demonstration provider" in client.exec_default("Hello.").text
    finally:
        demonstration.stop()
    assert '"demo"' in (client.home / "models_cache.json").read_text()
    client.use_relay(relay)
    provider.reply(say("Hello from the provider."))
    assert client.exec_default("Hello.").text == "Hello from the provider."


def test_upstream_that_is_down_is_named_at_once(codex: NewCodex, tmp_path: Path) -> None:
    """It took 131 s."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        origin = f"http://127.0.0.1:{server.getsockname()[1]}"
    relay = Relay(tmp_path / "relay", upstream=f"{origin}/v1")
    try:
        run = codex(Mode.PROVIDER, relay).exec("Hello.")
    finally:
        relay.stop()
    assert run.exit_code != 0
    assert f"nothing listens at {origin}; is the server running?" in " ".join(run.error_messages)
    assert run.elapsed < 15  # seen: 1 s
