"""`mitmcodex config write` and `undo` with the real Codex, which then reaches the relay."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli.commands.config import show_block, undo_config_block, write_config_block
from tests.codex.driver import CODEX, QUIET_CONFIG, Relay, base_environment
from tests.fake_provider import FakeProvider, running_provider
from tests.replies import Say

CONFIG = (
    f'# mine\nmodel = "gpt-5.5" # usual\n{QUIET_CONFIG}\n[projects."/x"]\ntrust_level = "trusted"'
)


@pytest.fixture
def codex_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    (tmp_path / "codex").mkdir()
    (tmp_path / "codex" / "config.toml").write_text(CONFIG)
    return tmp_path / "codex"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, FakeProvider]]:
    """A relay and its provider, for all tests."""
    with running_provider() as provider:
        folder = tmp_path_factory.mktemp("relay")
        settings = {"api_key": str(provider.key), "model": "fake-model"}
        relay = Relay(folder, upstream=provider.url, **settings)
        yield relay, provider
        relay.stop()


def codex_exec(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`codex exec` as its user runs it, without a word about the relay on the command line."""
    # Nothing answers on that port, so that no test reaches OpenAI.
    proxy = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    environment = base_environment(home) | {"CODEX_HOME": str(home)} | proxy
    return subprocess.run(
        [str(CODEX), "exec", "--skip-git-repo-check", *options, "--", "hello"],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=40,
    )


@pytest.mark.parametrize("base_url", [False, True], ids=["provider", "base-url"])
def test_plain_codex_reaches_the_relay_until_undo(
    codex_home: Path, served: tuple[Relay, FakeProvider], base_url: bool
) -> None:
    relay, provider = served
    write_config_block(base_url=base_url, port=relay.port)
    provider.reply(Say("Hello from the fake."))
    done = codex_exec(codex_home)
    assert done.returncode == 0 and "Hello from the fake." in done.stdout, done.stderr
    request = provider.posted_requests[-1]
    assert request.body["model"] == "fake-model"
    # Only the form with a catalog knows the model.
    assert ("Model metadata for" in done.stderr) == base_url
    config = codex_home / "config.toml"
    assert config.read_text() != CONFIG
    undo_config_block()
    assert config.read_text() == CONFIG


def test_show_changes_nothing(codex_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_block(model="deepseek-chat", port=4446)
    printed = capsys.readouterr()
    assert 'base_url = "http://127.0.0.1:4446/v1"' in printed.out
    assert "start it with `mitmcodex up --detach`" in printed.err
    assert os.listdir(codex_home) == ["config.toml"]
    assert (codex_home / "config.toml").read_text() == CONFIG
