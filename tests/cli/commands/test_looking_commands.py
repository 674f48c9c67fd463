"""`models`, `providers`, `accounts`, `login`, `logout`, `usage` and `case`, with one real relay
before a strict provider, a strict login service, and client keys."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from addons.config import ConfigFile, read_settings, use_settings
from addons.launch import RelayProcess, available_port, start
from addons.routing import forget_model_lists
from scripts.cli import running_relay
from scripts.cli.app import main
from scripts.cli.launcher.used_relay import relay_for_program
from scripts.cli.listings.account_list import list_accounts
from tests.fake_auth import FakeAuth
from tests.fake_provider import FakeProvider
from tests.replies import say

ROOT = Path(__file__).parents[3]
ADMIN_KEY, LAPTOP_KEY = "key-of-the-admin-0001", "key-of-the-laptop-0002"


@dataclass(frozen=True)
class Office:
    """A user's home, in which a relay runs."""

    home: Path
    environment: dict[str, str]
    relay: RelayProcess
    provider: FakeProvider
    auth: FakeAuth

    @property
    def capture(self) -> Path:
        return self.home / "capture.mitm"

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`mitmcodex …` for this relay, as a process."""
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.cli", *arguments, "--port", str(self.relay.port)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def run(self, *arguments: str, port: int | None = None, status: int = 0) -> str:
        """What `mitmcodex …` prints in a pipe, for this relay or for a port without one: its
        standard output, and that of errors for another exit status than 0."""
        if arguments[0] not in ("case", "providers"):
            arguments = (*arguments, "--port", str(port or self.relay.port))
        output, messages = io.StringIO(), io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(output),
            redirect_stderr(messages),
        ):
            patch.setattr(os, "environ", dict(self.environment))
            patch.setattr(sys, "argv", ["mitmcodex", *arguments])
            forget_model_lists()
            assert main() == status, output.getvalue() + messages.getvalue()
        text = output.getvalue() + messages.getvalue()
        assert not any(
            secret in text for secret in (ADMIN_KEY, LAPTOP_KEY, self.provider.key or "-")
        )
        return messages.getvalue() if status else output.getvalue()

    def json(self, *arguments: str, port: int | None = None) -> Any:
        return json.loads(self.run(*arguments, "--json", port=port))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    home = tmp_path_factory.mktemp("office")
    provider, auth = FakeProvider(), FakeAuth(available_port(0))
    inherited = {name: value for name, value in os.environ.items() if "XDG_" not in name}
    settings = {
        "upstream": provider.url,
        "api_key": provider.key,
        "client_key": f"admin:{ADMIN_KEY},laptop:{LAPTOP_KEY}",
        "chatgpt_issuer": auth.url,
        "chatgpt_base": f"{provider.url}/none",
        "vault": str(home / "logins"),
        "store": str(home / "store.db"),
    }
    variables = {f"CODEX_RELAY_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**inherited, **variables, "HOME": str(home), "DEEPSEEK_API_KEY": "sk-1"}
    arguments = ["-w", str(home / "capture.mitm")]
    try:
        with start(log=home / "log", environment=environment, arguments=arguments) as relay:
            yield Office(home, environment, relay, provider, auth)
    finally:
        provider.close()
        auth.close()
        use_settings(read_settings({}, {}), ConfigFile.empty())


def ask_relay(office: Office, key: str, text: str) -> None:
    office.provider.reply(say(text))
    with httpx2.Client(trust_env=False, timeout=20) as client:
        reply = client.post(
            f"{office.relay.url}/responses",
            headers={"authorization": f"Bearer {key}"},
            json={"model": "fake-model", "input": "Who is ada@example.com?", "stream": True},
        )
    assert reply.status_code == 200 and text in reply.text


def test_models_are_listed_with_and_without_a_relay(office: Office) -> None:
    expected = {"model": "fake-model", "provider": "generic", "context_window": 128000}
    listed = {row["model"]: row for row in office.json("models")}
    assert {**listed["fake-model"], **expected} == listed["fake-model"]
    direct = {row["model"]: row for row in office.json("models", port=available_port(0))}
    assert direct.keys() == listed.keys()
    lines = office.run("models").splitlines()
    assert re.split(r"\s{2,}", lines[0]) == [
        "MODEL",
        "PROVIDER",
        "WINDOW",
        "$/M INPUT",
        "$/M OUTPUT",
    ]
    assert any(line.startswith("fake-model ") for line in lines[1:])


def test_missing_list_is_explained(office: Office) -> None:
    messages = office.run("models", "nobody", status=1)
    assert "no provider 'nobody'" in messages and "mitmcodex providers" in messages
    messages = office.run("models", "vllm", status=1)  # nothing listens on its port
    assert "nothing listens at http://localhost:8000" in messages


def test_providers_are_listed_with_their_keys(office: Office) -> None:
    rows = {row["name"]: row for row in office.json("providers")}
    assert rows["deepseek"]["key"] == "set" and rows["kimi"]["key"] == "missing"
    assert rows["deepseek"]["keys_page"].startswith("https://")
    assert [name for name, row in rows.items() if row["chosen"]] == ["generic"]
    table = office.run("providers")
    assert "DEEPSEEK_API_KEY (set)" in table and "generic *" in table


def test_usage_is_shown_by_model_and_client(office: Office) -> None:
    ask_relay(office, ADMIN_KEY, "one")
    ask_relay(office, LAPTOP_KEY, "two")
    [total] = office.json("usage", "--by", "model")
    assert total["model"] == "generic/fake-model" and total["exchanges"] == 2
    [laptop] = office.json("usage", "--by", "client")
    assert (laptop["client"], laptop["exchanges"]) == ("laptop", 1)
    # The rows are stored before they are shown.
    assert office.json("usage", "--by", "model", port=available_port(0)) == [total]
    lines = office.run("usage", "--days", "1").splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d +2 +0 ", lines[1]) and lines[-1].startswith("total ")
    messages = office.run("usage", "--by", "client", port=available_port(0), status=1)
    assert "mitmcodex up --detach" in messages


def test_login_with_a_code_is_waited_for(office: Office) -> None:
    assert office.json("accounts") == []
    process = office.start("login", "--device")
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    code = line.rsplit(maxsplit=1)[-1]
    assert line.startswith(f"Open {office.auth.url}")
    office.auth.approve_device(code)
    output, _ = process.communicate(timeout=30)
    email = office.auth.user.email
    assert (process.returncode, output) == (0, f"Logged in: {email}\n")
    [account] = office.json("accounts")
    assert (account["email"], account["state"]) == (email, "ready")
    table = office.run("accounts").splitlines()
    assert table[0].startswith("ACCOUNT ") and table[1].startswith(f"{email} * ")
    messages = office.run("logout", "eve@example.com", status=1)
    assert "no account 'eve@example.com'" in messages and email in messages
    assert office.run("logout") == f"Logged out: {email}\n"
    assert "nobody is logged in" in office.run("logout", status=1)


def test_refused_login_is_told(office: Office) -> None:
    process = office.start("login", "--device")
    assert process.stdout and process.stderr
    office.auth.deny_device(process.stdout.readline().rsplit(maxsplit=1)[-1])
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 1 and "OpenAI refused the login" in messages


def test_interrupted_login_ends_in_the_relay_as_well(office: Office) -> None:
    process = office.start("login", "--device")
    assert process.stdout and process.stderr
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130, messages
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    url = f"http://127.0.0.1:{office.relay.port}/auth/accounts"
    with httpx2.Client(trust_env=False, timeout=10) as client:
        assert client.get(url, headers=headers).json()["login"] is None


def test_case_is_made_of_a_capture(office: Office) -> None:
    ask_relay(office, ADMIN_KEY, "three")
    ask_relay(office, ADMIN_KEY, "four")
    lines = office.run("case", "list", str(office.capture)).splitlines()
    assert re.match(r" +1 +fake-model +generic +fake-model +completed", lines[1])
    folder = office.home / "cases" / "new"
    messages = office.run("case", "new", str(office.capture), str(folder), status=1)
    assert "choose one with --flow" in messages
    number = str(len(lines) - 1)  # the last one
    files = office.run("case", "new", str(office.capture), str(folder), "--flow", number)
    assert files.split() == [
        str(folder / name) for name in ("request.json", "reply.sse", "note.md")
    ]
    request = (folder / "request.json").read_text()
    assert "ada@example.com" not in request and "person1@example.com" in request
    assert "four" in (folder / "reply.sse").read_text()
    again = office.run("case", "new", str(office.capture), str(folder), "--flow", "1", status=1)
    assert "is not an empty folder" in again
    assert "is no complete capture" in office.run(
        "case", "list", str(office.home / "log"), status=1
    )


def test_without_a_relay_one_runs_for_the_command(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_relay, "DEFAULT_PORT", available_port(0))
    children = set(psutil.Process().children())
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(office.environment))
        with relay_for_program() as relay:
            assert relay.port != office.relay.port and list_accounts(relay.running) == []
            assert len(set(psutil.Process().children()) - children) == 1
    assert set(psutil.Process().children()) == children
    assert running_relay.find_relay_at(relay.port) is None
