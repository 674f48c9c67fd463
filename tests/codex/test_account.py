"""The real Codex on a ChatGPT account of the relay, with a strict backend and a strict login
service. Codex has a login of its own, which must reach neither."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest

from addons.accounts.vault import SavedLogin, Vault
from tests.addons.gateway import IssuedTokens
from tests.backend_replies import seal
from tests.codex.conftest import PIXEL
from tests.codex.driver import ACCOUNT, API_KEY, CODEX, Codex, Mode, Relay, base_environment
from tests.codex.test_turns import PATCH
from tests.fake_auth import FakeAuth, User, make_user
from tests.fake_backend import FakeBackend, overload_event, usage_limit
from tests.fake_provider import FakeProvider, ReceivedRequest
from tests.replies import USAGE, call, custom, say, think

Json = dict[str, Any]
ADA, BOB = make_user("ada"), make_user("bob")
LIMIT = ("-c", "model_auto_compact_token_limit=140")  # each reply of the backend costs 150
SUMMARY = "## Goal\nPlant the apple tree."
BY_PROXY = pytest.mark.parametrize("mode", [Mode.PROXY_KEY, Mode.PROXY_CHATGPT])


@dataclass
class AccountSetup:
    """A relay with accounts, and the fake services behind it."""

    folder: Path
    auth: FakeAuth
    backend: FakeBackend
    relay: Relay

    def codex(self, mode: Mode = Mode.PROXY_CHATGPT, config: str = "") -> Codex:
        number = len(list(self.folder.glob("codex*")))
        return Codex(self.folder / f"codex{number}", mode, self.relay, config=config)

    def reset(self) -> None:
        self.backend.reset()
        self.backend.accounts = IssuedTokens(self.auth)
        self.backend.catalog = json.loads(bundled_catalog())["models"]

    def verify(self) -> None:
        """Fail if a request was refused, or had Codex's own login, or went to another host."""
        self.backend.verify()
        for request in self.backend.requests:
            for secret in (API_KEY, ACCOUNT, ".invented", "codex_exec"):
                assert secret.encode() not in request.raw
                assert secret not in str(request.headers)
        log = self.relay.log
        assert "Traceback" not in log
        hosts = re.findall(r"server connect ([\w.-]+)", log)
        assert set(hosts) <= {"127.0.0.1"}


NewAccountSetup = Callable[..., AccountSetup]


@pytest.fixture(scope="module")
def new_account_setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewAccountSetup]:
    """Makes a relay with these settings, at which these users are logged in."""
    closers: list[Callable[[], None]] = []

    def make(*users: User, **settings: str) -> AccountSetup:
        folder = tmp_path_factory.mktemp("account")
        auth, backend = FakeAuth(), FakeBackend()
        closers.extend((auth.close, backend.close))
        for user in users:
            write_login(folder / "logins", auth, user)
        options = {"chatgpt_base": backend.url, "chatgpt_issuer": auth.url}
        options |= {"vault": str(folder / "logins"), "store": "off"}
        options |= {name: value.format(folder=folder) for name, value in settings.items()}
        relay = Relay(folder / "relay", **options)
        closers.append(relay.stop)
        setup = AccountSetup(folder, auth, backend, relay)
        setup.reset()
        return setup

    yield make
    for close in reversed(closers):
        close()


def write_login(vault: Path, auth: FakeAuth, user: User) -> None:
    """Write a login of ten minutes ago."""
    tokens = auth.issue_tokens(user)
    entry = SavedLogin(replace(tokens, issued_at=tokens.issued_at - 600))
    Vault(vault).update_contents(lambda book: book.with_login(tokens.account_name, entry))


@pytest.fixture(scope="module")
def shared_setup(new_account_setup: NewAccountSetup) -> AccountSetup:
    return new_account_setup(ADA)


@pytest.fixture
def account_setup(shared_setup: AccountSetup) -> Iterator[AccountSetup]:
    """A relay with one account and no other provider."""
    shared_setup.reset()
    yield shared_setup
    shared_setup.verify()


@cache
def bundled_catalog() -> str:
    """The catalog of the installed Codex, which the service sends as well."""
    command = [str(CODEX), "debug", "models", "--bundled"]
    home = base_environment(Path("/nonexistent"))
    return subprocess.run(command, env=home, capture_output=True, text=True, check=True).stdout


def item_types(request: ReceivedRequest) -> list[str]:
    return [item["type"] for item in request.items if item.get("role") not in ("developer", "user")]


def prompt_texts(request: ReceivedRequest) -> str:
    return json.dumps(request.items, ensure_ascii=False)


@pytest.mark.parametrize("mode", list(Mode))
def test_greeting_is_answered_by_the_account(mode: Mode, account_setup: AccountSetup) -> None:
    account_setup.backend.reply(think("A greeting."), say("Hello, wörld!"))
    run = account_setup.codex(mode).exec("Say hello, please.", model="gpt-5.5")
    assert (run.exit_code, run.text, run.error_messages) == (0, "Hello, wörld!", [])
    assert [item["text"] for item in run.items("reasoning")] == ["A greeting."]
    assert run.usage["input_tokens"] == USAGE["prompt_tokens"]
    [request] = account_setup.backend.responses_requests
    assert request.body["model"] == "gpt-5.5"
    assert request.items[-1]["content"][0]["text"] == "Say hello, please."
    headers = request.headers
    assert headers["originator"] == "mitmcodex"
    assert headers["user-agent"].startswith("mitmcodex/")
    assert headers["chatgpt-account-id"] == ADA.workspace
    assert headers["session-id"] == headers["session_id"] == headers["thread-id"] == run.thread_id
    assert json.loads(headers["x-codex-turn-metadata"])["thread_id"] == run.thread_id
    assert headers["x-codex-window-id"].startswith(run.thread_id)
    assert request.body["prompt_cache_key"] == run.thread_id


def test_turn_with_every_kind_of_tool(mcp: str, account_setup: AccountSetup) -> None:
    backend = account_setup.backend
    backend.reply(
        think("A command and a patch."),
        say("I begin."),
        call("exec_command", cmd="echo hi > hi.txt; cat hi.txt"),
        custom("apply_patch", PATCH),
    )
    backend.reply(think("Look."), call("view_image", path=str(PIXEL)))
    backend.reply(think("Now add."), call("tool_search", query="add numbers", limit=8))
    backend.reply(call("mcp__tiny.add", a=2, b=3))
    backend.reply(say("All done."))
    client = account_setup.codex(config=mcp)
    (client.work / "poem.txt").write_text("roses are red\nviolets are grey\n")
    run = client.exec("Do it all.", model="gpt-5.5")
    assert (run.exit_code, run.text, run.error_messages) == (0, "All done.", [])
    assert run.files["hi.txt"] == "hi\n"
    assert run.files["poem.txt"] == "roses are red\nviolets are blue\n"
    assert [item["tool"] for item in run.items("mcp_tool_call")] == ["add"]

    *_, last = backend.responses_requests
    assert item_types(last) == [
        "reasoning", "message", "function_call", "custom_tool_call",
        "function_call_output", "custom_tool_call_output",
        "reasoning", "function_call", "function_call_output",
        "reasoning", "tool_search_call", "tool_search_output",
        "function_call", "function_call_output",
    ]  # fmt: skip
    assert last.items[-2]["namespace"] == "mcp__tiny"
    assert "5" in json.dumps(last.items[-1]["output"])
    [seen] = [item["output"] for item in last.items if isinstance(item.get("output"), list)][:1]
    assert seen[0]["type"] == "input_image"
    # The turn state of the service comes back with each further request of the turn, and no other.
    states = [request.headers.get("x-codex-turn-state") for request in backend.responses_requests]
    assert states[0] is None and states[1] and set(states[1:]) == {states[1]}


def test_code_mode_with_tools_in_the_input(account_setup: AccountSetup) -> None:
    account_setup.backend.reply(
        think("JavaScript."),
        custom(
            "exec", "const made = await tools.exec_command({cmd: 'echo 41'}); text(made.output)"
        ),
    )
    account_setup.backend.reply(say("41."))
    run = account_setup.codex().exec("Run it.", model="gpt-6.1-sol")
    assert (run.exit_code, run.text, run.error_messages) == (0, "41.", [])
    first, second = account_setup.backend.responses_requests
    assert first.items[0]["type"] == "additional_tools"
    assert first.body["parallel_tool_calls"] is False
    assert first.headers["x-openai-internal-codex-responses-lite"] == "true"
    assert item_types(second)[-3:] == ["reasoning", "custom_tool_call", "custom_tool_call_output"]
    assert "41" in json.dumps(second.items[-1]["output"])


def test_thinking_survives_a_resume_word_for_word(account_setup: AccountSetup) -> None:
    """The backend verifies its sealed content together with the item."""
    account_setup.backend.reply(think("Remember 7."), call("exec_command", cmd="true"))
    account_setup.backend.reply(think("Noted, I think."), say("Noted."))
    account_setup.backend.reply(say("Seven."))
    client = account_setup.codex()
    first = client.exec("Note 7.", model="gpt-5.5")
    assert client.resume(first.thread_id, "What was it?", model="gpt-5.5").text == "Seven."
    *_, last = account_setup.backend.responses_requests
    thoughts = [item for item in last.items if item["type"] == "reasoning"]
    assert [item["summary"][0]["text"] for item in thoughts] == ["Remember 7.", "Noted, I think."]
    assert all(item["encrypted_content"].startswith("gAAAAA") for item in thoughts)
    assert "x-codex-turn-state" not in last.headers


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6.1-sol"])
def test_session_is_compacted_and_continues(model: str, account_setup: AccountSetup) -> None:
    backend = account_setup.backend
    backend.reply(think("Dig first."), call("exec_command", cmd="echo dug"))
    backend.reply(
        think("I sum up."), say(SUMMARY), when=lambda request: "summary" in prompt_texts(request)
    )
    backend.reply(say("Planted."))
    client = account_setup.codex()
    run = client.exec("Plant the tree.", *LIMIT, model=model)
    assert (run.exit_code, run.text, run.error_messages) == (0, "Planted.", [])
    first, compacting, second = backend.responses_requests
    assert compacting.items[: len(first.items)] == first.items
    assert compacting.body.get("tools") == first.body.get("tools")
    assert compacting.body["tool_choice"] == "none"
    assert second.items[-1]["content"].endswith(SUMMARY)
    backend.reply(say("Watered."))
    assert client.resume(run.thread_id, "Water it.", model=model).text == "Watered."
    assert json.dumps(SUMMARY)[1:] in prompt_texts(backend.responses_requests[-1])


def test_usage_limit_is_shown_in_codexs_words_and_not_requested_again(
    new_account_setup: NewAccountSetup,
) -> None:
    setup = new_account_setup(ADA)
    setup.backend.reply(usage_limit(resets_in=7500))
    client = setup.codex()
    first = client.exec("Hello?", model="gpt-5.5")
    second = client.exec("And now?", model="gpt-5.5")
    assert len(setup.backend.responses_requests) == 1
    for run in (first, second):
        assert run.exit_code != 0 and run.elapsed < 5
        assert "You’ve hit your usage limit" in run.error_messages[-1]
        # With the date, if that is no longer today.
        time_pattern = r"try again at (\w+ \d+\w+, \d{4} )?\d+:\d\d [AP]M"
        assert re.search(time_pattern, run.error_messages[-1], re.I)
    setup.verify()


def test_another_account_continues_the_turn(new_account_setup: NewAccountSetup) -> None:
    """In mid-session; the second account does not get what the first one sealed."""
    setup = new_account_setup(ADA, BOB, account_failover="on")
    backend, client = setup.backend, setup.codex()
    backend.reply(think("For Ada alone."), call("exec_command", cmd="echo one"))
    backend.reply(usage_limit())
    backend.reply(think("Bob's."), call("exec_command", cmd="echo two"))
    backend.reply(say("Done."))
    run = client.exec("Go.", model="gpt-5.5")
    assert (run.exit_code, run.text, run.error_messages) == (0, "Done.", [])
    served = [request.headers["chatgpt-account-id"] for request in backend.responses_requests]
    assert served == [ADA.workspace] * 2 + [BOB.workspace] * 2
    thoughts = [item_types(request).count("reasoning") for request in backend.responses_requests]
    assert thoughts == [0, 1, 0, 1]
    # the turn state of one account is not sent to the other
    assert "x-codex-turn-state" not in backend.responses_requests[2].headers
    setup.verify()


def test_overload_and_revoked_token_are_invisible_to_codex(account_setup: AccountSetup) -> None:
    for token in list(account_setup.auth.access_tokens):
        account_setup.auth.revoke_access_token(token)
    account_setup.backend.reply(overload_event())
    account_setup.backend.reply(say("Hello."))
    run = account_setup.codex().exec("Hello?", model="gpt-5.5")
    assert (run.exit_code, run.text, run.error_messages) == (0, "Hello.", [])
    assert account_setup.auth.refreshes == 1


@pytest.mark.parametrize("mode", [Mode.PROXY_CHATGPT, Mode.BASE_URL])
def test_ended_login_of_the_relay_is_reported_and_codexs_is_untouched(
    mode: Mode, new_account_setup: NewAccountSetup
) -> None:
    setup = new_account_setup(ADA)
    client = setup.codex(mode)
    auth_before = (client.home / "auth.json").read_bytes()
    for token in list(setup.auth.refresh_tokens):
        setup.auth.end_refresh_token(token, "refresh_token_expired")
    setup.auth.access_tokens.clear()
    for _ in range(2):
        run = client.exec("Hello?", model="gpt-5.5")
        assert run.exit_code != 0 and run.elapsed < 5
        assert (
            "log in again" in run.error_messages[-1]
            or "log in at /auth/login" in run.error_messages[-1]
        )
        assert (client.home / "auth.json").read_bytes() == auth_before
    assert "ada@example.com" in run.error_messages[-1]
    write_login(setup.folder / "logins", setup.auth, ADA)
    setup.backend.reply(say("Welcome back."))
    assert client.exec("Hello?", model="gpt-5.5").text == "Welcome back."
    assert setup.auth.refusals == ["refresh_token: refresh_token_expired"]
    setup.verify()


def test_session_uses_provider_and_account_in_turn(
    new_account_setup: NewAccountSetup, upstream: FakeProvider
) -> None:
    """A Chat provider is configured, and the account is beside it with prefixed model names."""
    upstream.reset()
    setup = new_account_setup(ADA, upstream=upstream.url, api_key=upstream.key or "")
    client, backend = setup.codex(), setup.backend
    upstream.reply(think("Chat thinks."), call("exec_command", cmd="true"))
    upstream.reply(say("From Chat."))
    backend.reply(think("The account thinks."), call("exec_command", cmd="true"))
    backend.reply(say("From the account."))
    upstream.reply(say("Chat again."))
    backend.reply(say("The account again."))
    first = client.exec("One.", model="fake-model")
    assert (first.text, first.error_messages) == ("From Chat.", [])
    entries = {model["slug"]: model for model in codex_catalog(client)}
    assert entries["fake-model"]["priority"] == 0
    own = next(model for model in backend.catalog if model["slug"] == "gpt-6.1-sol")
    scoped = entries["chatgpt/gpt-6.1-sol"]
    assert scoped == without_instructions(own) | {
        name: scoped[name] for name in ("slug", "priority")
    }
    answers = [
        client.resume(first.thread_id, "Go on.", model=model).text
        for model in ("chatgpt/gpt-5.5", "fake-model", "chatgpt/gpt-6.1-sol")
    ]
    assert answers == ["From the account.", "Chat again.", "The account again."]
    assert [request.body["model"] for request in backend.responses_requests] == [
        "gpt-5.5",
        "gpt-5.5",
        "gpt-6.1-sol",
    ]
    # Each upstream gets its own reasoning back, and not the other's.
    assert [item_types(request).count("reasoning") for request in backend.responses_requests] == [
        0,
        1,
        1,
    ]
    assert "The account thinks." not in str(upstream.posted_requests[-1].messages)
    assert "dropped input[4] (reasoning)" in setup.relay.log
    upstream.verify()
    setup.verify()


def codex_catalog(client: Codex) -> list[Json]:
    """The catalog that this Codex has cached."""
    catalog: list[Json] = json.loads((client.home / "models_cache.json").read_text())["models"]
    return catalog


def without_instructions(model: Json) -> Json:
    """The entry as Codex caches it."""
    return {name: value for name, value in model.items() if name != "base_instructions"}


@BY_PROXY
def test_codex_gets_the_catalog_of_the_service(mode: Mode, account_setup: AccountSetup) -> None:
    account_setup.backend.reply(say("Hello."))
    client = account_setup.codex(mode)
    client.exec("Hello?", model="gpt-6.1-sol")
    catalog = sorted(account_setup.backend.catalog, key=lambda model: model["priority"])
    with httpx2.Client(trust_env=False) as browser:
        reply = browser.get(f"{account_setup.relay.url}/v1/models?client_version=0.169.0")
    assert reply.json() == {"models": catalog}
    assert codex_catalog(client) == [without_instructions(model) for model in catalog]


def test_content_sealed_for_another_login_is_left_out(account_setup: AccountSetup) -> None:
    """A session that began without the relay: the backend refuses its sealed content once."""
    account_setup.backend.reply(think("Remember 7."), say("Noted."))
    client = account_setup.codex()
    first = client.exec("Note 7.", model="gpt-5.5")
    [file] = client.home.glob("sessions/**/*.jsonl")
    file.write_text(re.sub(r"relay1\.[\w=-]+", seal("elsewhere", "rs_1", "7"), file.read_text()))
    for number in range(2):
        account_setup.backend.reply(say("Seven."))
        again = client.resume(first.thread_id, "What was it?", model="gpt-5.5")
        assert (again.text, again.error_messages) == ("Seven.", [])
        refused = account_setup.backend.refusals
        assert len(refused) == 1 and "could not be verified" in refused[0], number
    account_setup.backend.refusals.clear()


def test_relay_and_codex_share_codexs_login(new_account_setup: NewAccountSetup) -> None:
    """The relay renews the login in Codex's file, and Codex reads it there."""
    setup = new_account_setup(chatgpt_auth="{folder}/codex0/home/auth.json")
    client = setup.codex()
    file, tokens = client.home / "auth.json", setup.auth.issue_tokens(ADA)
    saved_tokens = {
        "id_token": tokens.id_token,
        "access_token": tokens.access_token,
        "unknown": [1],
    }
    saved_tokens |= {"refresh_token": tokens.refresh_token, "account_id": ADA.workspace}
    login = {
        "auth_mode": "chatgpt",
        "OPENAI_API_KEY": None,
        "tokens": saved_tokens,
        "later": {"a": 1},
    }
    file.write_text(json.dumps(login | {"last_refresh": "2026-01-01T00:00:00Z"}))
    setup.auth.revoke_access_token(tokens.access_token)
    setup.backend.reply(say("Hello."))
    setup.backend.reply(say("Hello again."))
    assert client.exec("Hello?", model="gpt-5.5").text == "Hello."
    assert setup.auth.refreshes == 1
    saved_login = json.loads(file.read_text())
    assert saved_login["tokens"]["refresh_token"] in setup.auth.refresh_tokens
    assert (saved_login["later"], saved_login["tokens"]["unknown"]) == ({"a": 1}, [1])
    assert "ChatGPT" in client.login_status()
    run = client.exec("And now?", model="gpt-5.5")
    assert (run.text, run.error_messages) == ("Hello again.", [])
    assert json.loads(file.read_text()) == saved_login
    setup.auth.verify()
    setup.verify()


def test_compact_path_returns_the_next_input(account_setup: AccountSetup) -> None:
    """`POST /v1/responses/compact`, whose output is the next input."""

    def ask(path: str, **body: Any) -> Json:
        url = f"{account_setup.relay.url}/v1/responses{path}"
        with httpx2.Client(trust_env=False) as client:
            reply = client.post(url, json={"model": "gpt-5.5", "store": False, **body})
        assert reply.status_code == 200, reply.text
        response: Json = reply.json()
        return response

    account_setup.backend.reply(think("A tree."), say("Which tree?"))
    account_setup.backend.reply(think("In short."), say(SUMMARY))
    account_setup.backend.reply(say("Planted."))
    prompt = [{"role": "user", "content": "Plant the tree."}]
    answer = ask("", input=prompt)["output"]
    short = ask("/compact", input=[*prompt, *answer])["output"]
    assert [item["type"] for item in short] == ["message", "compaction"]
    next_prompt = [{"role": "user", "content": "The apple tree."}]
    assert ask("", input=[*short, *next_prompt])["output"][-1]["content"][0]["text"] == "Planted."
    _, compacting, last = account_setup.backend.responses_requests
    assert item_types(compacting) == ["reasoning", "message"]
    assert json.dumps(SUMMARY)[1:] in prompt_texts(last)
