"""The real Codex, in both versions, through a relay that runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.launcher.codex_program import find_codex, read_codex_config
from scripts.cli.launcher.codex_server import INVENTED_KEY
from tests.cli.launcher.user import User
from tests.codex.driver import CODEX, Relay
from tests.fake_provider import FakeProvider, ReceivedRequest
from tests.replies import error, say

EXEC = ("exec", "--skip-git-repo-check", "-s", "danger-full-access")
# What Codex itself leaves behind, and nothing of the relay: no login, no list of models.
FOREIGN_FILES = {"auth.json", "models_cache.json", "app-server-control"}


def is_title(request: ReceivedRequest) -> bool:
    return request.body.get("response_format", {}).get("type") == "json_schema"


def texts(request: ReceivedRequest) -> str:
    return json.dumps(request.messages)


def test_codex_without_a_login(
    user: User, newest_codex: Path, relay: Relay, provider: FakeProvider
) -> None:
    user.install(newest_codex)
    provider.reply(say("Hello from the provider."))
    done = user.run("codex", "--port", str(relay.port), *EXEC, "-", text="a prompt by the pipe")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Hello from the provider.\n"
    [request] = provider.posted_requests
    assert request.prompt.strip() == "a prompt by the pipe"
    ours = [line for line in done.stderr.splitlines() if line.startswith("mitmcodex")]
    proxy_note, summary = ours
    assert (
        proxy_note == "mitmcodex: the relay does not use the proxy 127.0.0.1:9 of your environment"
    )
    assert "fake-model" in summary
    assert "ERROR" not in done.stderr  # Codex does not show that the relay has no WebSockets
    assert not user.codex_files & FOREIGN_FILES
    assert "fake-model" in done.stderr  # Codex has the relay's list, and its first model


def test_sessions_are_the_users_own(codex_user: User, relay: Relay, provider: FakeProvider) -> None:
    """Begun with plain Codex, resumed on the screen through the relay, resumed with plain Codex."""
    plain = ["codex", "-c", f'openai_base_url="{relay.url}/v1"', *EXEC, "-m", "fake-model"]
    codex_user.environment["NO_PROXY"] = "127.0.0.1"
    provider.reply(say("A first answer."))
    assert codex_user.run_program([*plain, "the first prompt"]).returncode == 0
    [session] = codex_user.sessions

    provider.reply(say('{"title": "A title"}'), when=is_title)  # not asked for by each version
    provider.reply(say("An answer in pieces."), when=lambda request: not is_title(request))
    screen = codex_user.open_terminal(
        *("codex", "--port", str(relay.port), "resume", "--last", "--include-non-interactive")
    )
    try:
        screen.wait_for("Trust this folder? [Y/n]")
        screen.type("\r")
        screen.wait_for("the first prompt")
        screen.wait_for("fake-model")
        screen.type("the second prompt")
        screen.wait_for("the second prompt")
        screen.type("\r")
        screen.wait_for("An answer in pieces.")
        assert "mitmcodex" not in screen.text
        screen.type("/quit")
        screen.wait_for("/quit")
        screen.type("\r")
        assert screen.wait_for_end() == 0
        assert "mitmcodex codex resume --last" in screen.text
    finally:
        screen.close()

    assert read_codex_config(codex_user.environment | {"CODEX_HOME": str(codex_user.codex_home)})[
        "projects"
    ] == {str(codex_user.work): {"trust_level": "trusted"}}

    provider.reply(say("A last answer."), when=lambda request: not is_title(request))
    resumed = codex_user.run_program([*plain, "resume", "--last", "the third prompt"])
    assert resumed.returncode == 0, resumed.stderr
    conversation = texts(provider.posted_requests[-1])
    provider.replies.clear()
    for text in ("the first prompt", "A first answer.", "the second prompt", "in pieces."):
        assert text in conversation
    assert codex_user.sessions == [session]
    assert not codex_user.codex_files & FOREIGN_FILES
    assert not codex_user.files_with(INVENTED_KEY.encode())


def test_codex_with_a_login_keeps_it(user: User, relay: Relay, provider: FakeProvider) -> None:
    user.install(CODEX)
    user.log_in("sk-proj-invented-0001")
    login = (user.codex_home / "auth.json").read_bytes()
    provider.reply(error(400, "no such model"))
    done = user.run("codex", "--port", str(relay.port), *EXEC, "hello")
    assert done.returncode == 1  # Codex's own exit status
    assert "no such model" in done.stderr
    assert (user.codex_home / "auth.json").read_bytes() == login
    assert not (user.codex_home / "models_cache.json").exists()


def test_codex_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed) as failure:
        find_codex()
    assert "npm install -g @openai/codex" in failure.value.next_step
    assert failure.value.status == 127


def test_commands_without_a_model_need_no_relay(user: User) -> None:
    user.install(CODEX)
    done = user.run("codex", "--version")
    assert (done.returncode, done.stdout) == (0, "codex-cli 0.163.0\n")
    assert not (user.home / ".mitmproxy").exists()  # no relay was started


@pytest.mark.parametrize(
    ("text", "config"), [('model = "x"', {"model": "x"}), ("not TOML", {}), (None, {})]
)
def test_config_of_the_user(user: User, text: str | None, config: dict[str, Any]) -> None:
    if text is not None:
        (user.codex_home / "config.toml").write_text(text)
    assert read_codex_config({"CODEX_HOME": str(user.codex_home)}) == config
