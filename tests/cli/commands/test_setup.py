"""`mitmcodex setup` and `mitmcodex uninstall`, as a new user runs them in an empty home."""

import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import pytest
from keyring.backends import fail

from scripts.cli.commands.setup import set_up
from scripts.cli.commands.uninstall import uninstall_all
from scripts.cli.errors import CommandFailed
from tests.cli.dialogue import hold_dialogue
from tests.cli.file_keyring import BACKEND, FILE_VARIABLE
from tests.cli.user_home import COMMAND, TIMEOUT, UserHome
from tests.fake_provider import FakeProvider


@pytest.fixture
def home(tmp_path: Path) -> UserHome:
    (tmp_path / "home").mkdir()
    return UserHome(tmp_path / "home")


@pytest.fixture
def with_keyring(tmp_path: Path) -> dict[str, str]:
    return {"PYTHON_KEYRING_BACKEND": BACKEND, FILE_VARIABLE: str(tmp_path / "keyring.json")}


def run_setup(
    home: UserHome, variables: dict[str, str], *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        env=home.environment(variables),
        cwd=home.path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def relay_file(home: UserHome) -> Path:
    return home.path / ".config" / "mitmcodex" / "relay.toml"


def files_below(folder: Path) -> dict[str, bytes | None]:
    """Every file with its content, and every folder with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def test_interview_in_a_terminal_writes_what_it_has_shown(
    home: UserHome, with_keyring: dict[str, str], tmp_path: Path, provider: FakeProvider
) -> None:
    bare_url = provider.url.removeprefix("http://").removesuffix("/v1")
    answers = [
        ("Number or name", "deepsek"),
        ("Number or name", "another url"),
        ("Its base URL", bare_url),
        ("(hidden; Enter for none)", "sk-wrong-0001"),
        ("(hidden; Enter for none)", provider.key or ""),
        ("Number or name", "5.5"),
        ("Number or name", "gpt-5.5"),
        ("Number or name", ""),
        ("Write it?", ""),
    ]
    status, shown = hold_dialogue(
        ["setup"], answers, home.environment({**with_keyring, "TERM": "dumb"}), home.path
    )
    assert status == 0, shown
    assert "There is no 'deepsek'; did you mean deepseek?" in shown
    assert "The key was refused (401)." in shown
    assert f"The URL is {provider.url}, with the version in it." in shown
    assert "lists 2 models." in shown and "Next: `mitmcodex codex`" in shown
    assert provider.key not in shown and "sk-wrong-0001" not in shown
    name = provider.url.split("/")[2]
    assert tomllib.loads(relay_file(home).read_text()) == {
        "upstream": provider.url,
        "api_key": f"keyring:{name}",
        "model": "gpt-5.5",
    }
    assert relay_file(home).stat().st_mode & 0o777 == 0o600
    stored = json.loads((tmp_path / "keyring.json").read_text())
    assert stored == {f"codex-relay/{name}": provider.key}
    provider.refusals.clear()


def test_interruption_writes_nothing(home: UserHome, with_keyring: dict[str, str]) -> None:
    answers = [("Number or name", "demo"), ("Number or name", ""), ("Write it?", "\x03")]
    environment = home.environment({**with_keyring, "TERM": "dumb"})
    status, shown = hold_dialogue(["setup"], answers, environment, home.path)
    assert status == 130, shown
    assert files_below(home.path) == {}


# In this process, which is faster


@pytest.fixture
def own_home(home: UserHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[UserHome]:
    """The same home, for this process, which has no keyring and no terminal."""
    previous = keyring.get_keyring()
    keyring.set_keyring(fail.Keyring())
    monkeypatch.setenv("HOME", str(home.path))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    yield home
    keyring.set_keyring(previous)


def test_flags_alone_with_a_key_on_stdin(
    own_home: UserHome,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    provider: FakeProvider,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{provider.key}\n"))
    set_up(upstream=provider.url, key_stdin=True, yes=True)
    printed = "".join(capsys.readouterr())
    assert tomllib.loads(relay_file(own_home).read_text())["api_key"] == provider.key
    assert str(provider.key) not in printed and "which only you can read" in printed
    # A second setup keeps what the user has added, and the file as it was.
    relay_file(own_home).write_text("isolate = false # mine\n" + relay_file(own_home).read_text())
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{provider.key}\n"))
    set_up(upstream=provider.url, key_stdin=True, model="gpt-5.5", yes=True)
    text = relay_file(own_home).read_text()
    assert "isolate = false # mine\n" in text and 'model = "gpt-5.5"' in text
    assert "fake-model" in relay_file(own_home).with_name("relay.toml.before-setup").read_text()
    # The key is there already.
    set_up(upstream=provider.url, model="fake-model", yes=True)
    assert relay_file(own_home).read_text() == text.replace('"gpt-5.5"', '"fake-model"')


@pytest.mark.parametrize(
    ("flags", "messages"),
    [
        ({}, ["without a terminal", "--provider NAME or --upstream URL and --yes"]),
        ({"provider": "deepseek"}, ["pass --yes"]),
        ({"provider": "deepseek", "yes": True}, ["needs a key", "--key-stdin"]),
        ({"provider": "kimmi", "yes": True}, ["did you mean kimi?"]),
        ({"provider": "azure", "yes": True}, ["has no URL of its own: pass it with --upstream"]),
        ({"upstream": "ftp://h:8", "yes": True}, ["--upstream: not an http(s) URL"]),
        (
            {"upstream": "http://127.0.0.1:9/v1", "yes": True},
            ["nothing listens at http://127.0.0.1:9", "--no-check"],
        ),
        ({"provider": "kimi", "key_stdin": True, "yes": True}, ["no key came on stdin"]),
        ({"provider": "kimi", "key_env": "NO_SUCH", "yes": True}, ["is not set"]),
        ({"provider": "kimi", "key": "a b", "yes": True}, ["no HTTP header can carry"]),
        ({"provider": "kimi", "key": "a", "key_env": "B"}, ["exclude one another"]),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_written(
    own_home: UserHome, flags: dict[str, Any], messages: list[str]
) -> None:
    with pytest.raises(CommandFailed) as failure:
        set_up(**flags)
    words = f"{failure.value.message}; {failure.value.next_step}"
    assert all(message in words for message in messages), words
    assert files_below(own_home.path) == {}


def test_key_in_the_providers_own_variable_stays_there(
    own_home: UserHome, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-in-the-shell")
    set_up(provider="deepseek", key_env="DEEPSEEK_API_KEY", no_check=True, yes=True)
    assert "The key is in $DEEPSEEK_API_KEY" in capsys.readouterr().err
    assert tomllib.loads(relay_file(own_home).read_text()) == {"provider": "deepseek"}


def test_key_as_an_argument_is_warned_of(
    own_home: UserHome, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(provider="deepseek", key="sk-1", no_check=True, yes=True)
    assert "Other users of this machine can read --key" in capsys.readouterr().err


def test_account_is_logged_in_afterwards(
    own_home: UserHome, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(provider="chatgpt", yes=True)
    assert tomllib.loads(relay_file(own_home).read_text()) == {"provider": "chatgpt"}
    assert "Next: `mitmcodex login`" in capsys.readouterr().out


def test_uninstall_without_a_terminal_wants_consent(own_home: UserHome) -> None:
    with pytest.raises(CommandFailed, match="without a terminal"):
        uninstall_all()


def test_uninstall_leaves_no_trace_but_what_was_there(
    home: UserHome, with_keyring: dict[str, str], tmp_path: Path, provider: FakeProvider
) -> None:
    (home.path / ".codex").mkdir()
    (home.path / ".codex" / "config.toml").write_text('model = "gpt-5.5" # mine\n[tui]\nx = 1\n')
    (home.path / ".mitmproxy").mkdir()
    before = files_below(home.path)
    flags = ["--key-env", "MY_KEY", "--codex", "config", "--yes"]
    variables = {**with_keyring, "MY_KEY": str(provider.key)}
    done = run_setup(home, variables, "setup", "--upstream", provider.url, *flags)
    assert done.returncode == 0, done.stderr
    config = tomllib.loads((home.path / ".codex" / "config.toml").read_text())
    assert (config["model_provider"], config["model"]) == ("relay", "fake-model")
    written = files_below(home.path)
    state = home.path / ".local" / "state" / "mitmcodex"
    state.mkdir(parents=True)
    (state / "relay.log").write_text("a line\n")

    dry_run = run_setup(home, with_keyring, "uninstall", "--dry-run")
    assert "take the relay's lines out of" in dry_run.stdout
    assert "in the system's keyring" in dry_run.stdout and "it is mitmproxy's" in dry_run.stdout
    assert written.items() <= files_below(home.path).items()

    done = run_setup(home, with_keyring, "uninstall", "--yes")
    assert done.returncode == 0 and "Last step: " in done.stdout, done.stderr
    assert relay_file(home).is_file() and (state / "relay.log").is_file()
    assert (home.path / ".codex" / "config.toml").read_bytes() == before[".codex/config.toml"]

    done = run_setup(home, with_keyring, "uninstall", "--data", "--yes")
    assert done.returncode == 0, done.stderr
    assert files_below(home.path) == before
    assert json.loads((tmp_path / "keyring.json").read_text()) == {}
