"""The real Codex on a ChatGPT account of the relay's own, before a strict backend and a strict
login service: Codex brings a login of its own, which goes nowhere."""

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

from addons.accounts.vault import Entry, Vault
from tests.addons.gateway import Admitted
from tests.backend_replies import seal
from tests.codex.conftest import PIXEL
from tests.codex.driver import ACCOUNT, API_KEY, CODEX, Codex, Mode, Relay, base_environment
from tests.codex.test_turns import PATCH
from tests.fake_auth import FakeAuth, User, person
from tests.fake_backend import FakeBackend, overloaded, usage_limit
from tests.fake_provider import FakeProvider, Request
from tests.replies import USAGE, call, custom, say, think

Json = dict[str, Any]
ADA, BOB = person("ada"), person("bob")
LIMIT = ("-c", "model_auto_compact_token_limit=140")  # each reply of the backend costs 150
SUMMARY = "## Goal\nPlant the apple tree."
BY_PROXY = pytest.mark.parametrize("mode", [Mode.PROXY_KEY, Mode.PROXY_CHATGPT])


@dataclass
class House:
    """A relay with accounts, and whom it talks to."""

    folder: Path
    auth: FakeAuth
    backend: FakeBackend
    relay: Relay

    def codex(self, mode: Mode = Mode.PROXY_CHATGPT, config: str = "") -> Codex:
        number = len(list(self.folder.glob("codex*")))
        return Codex(self.folder / f"codex{number}", mode, self.relay, config=config)

    def reset(self) -> None:
        self.backend.reset()
        self.backend.accounts = Admitted(self.auth)
        self.backend.catalog = json.loads(bundled())["models"]

    def verify(self) -> None:
        """Nothing was refused, nothing of Codex's own went up, and nowhere else did anything go."""
        self.backend.verify()
        for request in self.backend.requests:
            for secret in (API_KEY, ACCOUNT, ".invented", "codex_exec"):
                assert secret.encode() not in request.raw
                assert secret not in str(request.headers)
        log = self.relay.log
        assert "Traceback" not in log
        hosts = re.findall(r"server connect ([\w.-]+)", log)
        assert set(hosts) <= {"127.0.0.1"}


NewHouse = Callable[..., House]


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewHouse]:
    """Makes a house with these users logged in, and these settings of the relay."""
    ends: list[Callable[[], None]] = []

    def made(*users: User, **settings: str) -> House:
        folder = tmp_path_factory.mktemp("house")
        auth, backend = FakeAuth(), FakeBackend()
        ends.extend((auth.close, backend.close))
        for user in users:
            enter(folder / "logins", auth, user)
        where = {"chatgpt_base": backend.url, "chatgpt_issuer": auth.url}
        where |= {"vault": str(folder / "logins"), "store": "off"}
        where |= {name: value.format(folder=folder) for name, value in settings.items()}
        relay = Relay(folder / "relay", **where)
        ends.append(relay.stop)
        house = House(folder, auth, backend, relay)
        house.reset()
        return house

    yield made
    for end in reversed(ends):
        end()


def enter(vault: Path, auth: FakeAuth, user: User) -> None:
    """A login that took place ten minutes ago."""
    tokens = auth.give(user)
    entry = Entry(replace(tokens, at=tokens.at - 600))
    Vault(vault).change(lambda book: book.having(tokens.name, entry))


@pytest.fixture(scope="module")
def home(houses: NewHouse) -> House:
    return houses(ADA)


@pytest.fixture
def house(home: House) -> Iterator[House]:
    """One account and no other provider."""
    home.reset()
    yield home
    home.verify()


@cache
def bundled() -> str:
    """The catalog of the real Codex, which is what the service tells it."""
    command = [str(CODEX), "debug", "models", "--bundled"]
    home = base_environment(Path("/nonexistent"))
    return subprocess.run(command, env=home, capture_output=True, text=True, check=True).stdout


def kinds(request: Request) -> list[str]:
    return [item["type"] for item in request.items if item.get("role") not in ("developer", "user")]


def texts(request: Request) -> str:
    return json.dumps(request.items, ensure_ascii=False)


@pytest.mark.parametrize("mode", list(Mode))
def test_hello(mode: Mode, house: House) -> None:
    house.backend.reply(think("A greeting."), say("Hello, wörld!"))
    run = house.codex(mode).exec("Say hello, please.", model="gpt-5.5")
    assert (run.exit_code, run.text, run.errors) == (0, "Hello, wörld!", [])
    assert [item["text"] for item in run.items("reasoning")] == ["A greeting."]
    assert run.usage["input_tokens"] == USAGE["prompt_tokens"]
    [asked] = house.backend.turns
    assert asked.body["model"] == "gpt-5.5"
    assert asked.items[-1]["content"][0]["text"] == "Say hello, please."
    headers = asked.headers
    assert headers["originator"] == "codex-relay"
    assert headers["user-agent"].startswith("codex-relay/")
    assert headers["chatgpt-account-id"] == ADA.workspace
    assert headers["session-id"] == headers["session_id"] == headers["thread-id"] == run.thread
    assert json.loads(headers["x-codex-turn-metadata"])["thread_id"] == run.thread
    assert headers["x-codex-window-id"].startswith(run.thread)
    assert asked.body["prompt_cache_key"] == run.thread


def test_turn_with_every_kind_of_tool(mcp: str, house: House) -> None:
    backend = house.backend
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
    client = house.codex(config=mcp)
    (client.work / "poem.txt").write_text("roses are red\nviolets are grey\n")
    run = client.exec("Do it all.", model="gpt-5.5")
    assert (run.exit_code, run.text, run.errors) == (0, "All done.", [])
    assert run.files["hi.txt"] == "hi\n"
    assert run.files["poem.txt"] == "roses are red\nviolets are blue\n"
    assert [item["tool"] for item in run.items("mcp_tool_call")] == ["add"]

    *_, last = backend.turns
    assert kinds(last) == [
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
    # What the service says of a turn comes back with each further request of it, and no other.
    states = [turn.headers.get("x-codex-turn-state") for turn in backend.turns]
    assert states[0] is None and states[1] and set(states[1:]) == {states[1]}


def test_code_mode_with_tools_in_the_input(house: House) -> None:
    house.backend.reply(
        think("JavaScript."),
        custom(
            "exec", "const made = await tools.exec_command({cmd: 'echo 41'}); text(made.output)"
        ),
    )
    house.backend.reply(say("41."))
    run = house.codex().exec("Run it.", model="gpt-6.1-sol")
    assert (run.exit_code, run.text, run.errors) == (0, "41.", [])
    first, second = house.backend.turns
    assert first.items[0]["type"] == "additional_tools"
    assert first.body["parallel_tool_calls"] is False
    assert first.headers["x-openai-internal-codex-responses-lite"] == "true"
    assert kinds(second)[-3:] == ["reasoning", "custom_tool_call", "custom_tool_call_output"]
    assert "41" in json.dumps(second.items[-1]["output"])


def test_thinking_survives_a_resume_word_for_word(house: House) -> None:
    """The backend verifies what it sealed, and with which item."""
    house.backend.reply(think("Remember 7."), call("exec_command", cmd="true"))
    house.backend.reply(think("Noted, I think."), say("Noted."))
    house.backend.reply(say("Seven."))
    client = house.codex()
    first = client.exec("Note 7.", model="gpt-5.5")
    assert client.resume(first.thread, "What was it?", model="gpt-5.5").text == "Seven."
    *_, last = house.backend.turns
    thoughts = [item for item in last.items if item["type"] == "reasoning"]
    assert [item["summary"][0]["text"] for item in thoughts] == ["Remember 7.", "Noted, I think."]
    assert all(item["encrypted_content"].startswith("gAAAAA") for item in thoughts)
    assert "x-codex-turn-state" not in last.headers


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6.1-sol"])
def test_session_is_compacted_and_goes_on(model: str, house: House) -> None:
    backend = house.backend
    backend.reply(think("Dig first."), call("exec_command", cmd="echo dug"))
    backend.reply(think("I sum up."), say(SUMMARY), when=lambda asked: "summary" in texts(asked))
    backend.reply(say("Planted."))
    client = house.codex()
    run = client.exec("Plant the tree.", *LIMIT, model=model)
    assert (run.exit_code, run.text, run.errors) == (0, "Planted.", [])
    first, compacting, second = backend.turns
    assert compacting.items[: len(first.items)] == first.items
    assert compacting.body.get("tools") == first.body.get("tools")
    assert compacting.body["tool_choice"] == "none"
    assert second.items[-1]["content"].endswith(SUMMARY)
    backend.reply(say("Watered."))
    assert client.resume(run.thread, "Water it.", model=model).text == "Watered."
    assert json.dumps(SUMMARY)[1:] in texts(backend.turns[-1])


def test_a_limit_is_told_in_codexs_own_words_and_not_asked_for_again(houses: NewHouse) -> None:
    house = houses(ADA)
    house.backend.reply(usage_limit(resets_in=7500))
    client = house.codex()
    first = client.exec("Hello?", model="gpt-5.5")
    second = client.exec("And now?", model="gpt-5.5")
    assert len(house.backend.turns) == 1
    for run in (first, second):
        assert run.exit_code != 0 and run.elapsed < 5
        assert "You’ve hit your usage limit" in run.errors[-1]
        assert re.search(r"try again at \d+:\d\d [AP]M", run.errors[-1], re.I)
    house.verify()


def test_another_account_goes_on_without_a_word(houses: NewHouse) -> None:
    """In mid-session: what the first one sealed, the second one is spared."""
    house = houses(ADA, BOB, account_failover="on")
    backend, client = house.backend, house.codex()
    backend.reply(think("For Ada alone."), call("exec_command", cmd="echo one"))
    backend.reply(usage_limit())
    backend.reply(think("Bob's."), call("exec_command", cmd="echo two"))
    backend.reply(say("Done."))
    run = client.exec("Go.", model="gpt-5.5")
    assert (run.exit_code, run.text, run.errors) == (0, "Done.", [])
    served = [turn.headers["chatgpt-account-id"] for turn in backend.turns]
    assert served == [ADA.workspace] * 2 + [BOB.workspace] * 2
    thoughts = [kinds(turn).count("reasoning") for turn in backend.turns]
    assert thoughts == [0, 1, 0, 1]
    # nothing of the one's turn goes to the other
    assert "x-codex-turn-state" not in backend.turns[2].headers
    house.verify()


def test_overload_and_a_revoked_token_are_nobodys_business(house: House) -> None:
    for token in list(house.auth.access):
        house.auth.revoke(token)
    house.backend.reply(overloaded())
    house.backend.reply(say("Hello."))
    run = house.codex().exec("Hello?", model="gpt-5.5")
    assert (run.exit_code, run.text, run.errors) == (0, "Hello.", [])
    assert house.auth.refreshes == 1


@pytest.mark.parametrize("mode", [Mode.PROXY_CHATGPT, Mode.BASE_URL])
def test_a_login_that_is_over_is_the_relays_and_not_codexs(mode: Mode, houses: NewHouse) -> None:
    house = houses(ADA)
    client = house.codex(mode)
    before = (client.home / "auth.json").read_bytes()
    for token in list(house.auth.fresh):
        house.auth.end(token, "refresh_token_expired")
    house.auth.access.clear()
    for _ in range(2):
        run = client.exec("Hello?", model="gpt-5.5")
        assert run.exit_code != 0 and run.elapsed < 5
        assert "log in again" in run.errors[-1] or "log in at /auth/login" in run.errors[-1]
        assert (client.home / "auth.json").read_bytes() == before
    assert "ada@example.com" in run.errors[-1]
    enter(house.folder / "logins", house.auth, ADA)
    house.backend.reply(say("Welcome back."))
    assert client.exec("Hello?", model="gpt-5.5").text == "Welcome back."
    assert house.auth.refusals == ["refresh_token: refresh_token_expired"]
    house.verify()


def test_codex_chooses_among_both_in_one_session(houses: NewHouse, upstream: FakeProvider) -> None:
    """A Chat provider at home, and the account beside it under names of its own."""
    upstream.reset()
    house = houses(ADA, upstream=upstream.url, api_key=upstream.key or "")
    client, backend = house.codex(), house.backend
    upstream.reply(think("Chat thinks."), call("exec_command", cmd="true"))
    upstream.reply(say("From Chat."))
    backend.reply(think("The account thinks."), call("exec_command", cmd="true"))
    backend.reply(say("From the account."))
    upstream.reply(say("Chat again."))
    backend.reply(say("The account again."))
    first = client.exec("One.", model="fake-model")
    assert (first.text, first.errors) == ("From Chat.", [])
    listed = {model["slug"]: model for model in models(client)}
    assert listed["fake-model"]["priority"] == 0
    own = next(model for model in backend.catalog if model["slug"] == "gpt-6.1-sol")
    scoped = listed["chatgpt/gpt-6.1-sol"]
    assert scoped == uninstructed(own) | {name: scoped[name] for name in ("slug", "priority")}
    said = [
        client.resume(first.thread, "Go on.", model=model).text
        for model in ("chatgpt/gpt-5.5", "fake-model", "chatgpt/gpt-6.1-sol")
    ]
    assert said == ["From the account.", "Chat again.", "The account again."]
    assert [turn.body["model"] for turn in backend.turns] == ["gpt-5.5", "gpt-5.5", "gpt-6.1-sol"]
    # Each gets its own thinking back, and neither the other's.
    assert [kinds(turn).count("reasoning") for turn in backend.turns] == [0, 1, 1]
    assert "The account thinks." not in str(upstream.chats[-1].messages)
    assert "dropped input[4] (reasoning)" in house.relay.log
    upstream.verify()
    house.verify()


def models(client: Codex) -> list[Json]:
    """The catalog that this Codex was told."""
    found: list[Json] = json.loads((client.home / "models_cache.json").read_text())["models"]
    return found


def uninstructed(model: Json) -> Json:
    """As Codex keeps it."""
    return {name: value for name, value in model.items() if name != "base_instructions"}


@BY_PROXY
def test_the_services_own_catalog_is_codexs(mode: Mode, house: House) -> None:
    house.backend.reply(say("Hello."))
    client = house.codex(mode)
    client.exec("Hello?", model="gpt-6.1-sol")
    catalog = sorted(house.backend.catalog, key=lambda model: model["priority"])
    with httpx2.Client(trust_env=False) as browser:
        told = browser.get(f"{house.relay.url}/v1/models?client_version=0.169.0")
    assert told.json() == {"models": catalog}
    assert models(client) == [uninstructed(model) for model in catalog]


def test_what_another_login_was_given_sealed_is_let_go(house: House) -> None:
    """A session that Codex began without the relay: it was refused, and goes on all the same."""
    house.backend.reply(think("Remember 7."), say("Noted."))
    client = house.codex()
    first = client.exec("Note 7.", model="gpt-5.5")
    [file] = client.home.glob("sessions/**/*.jsonl")
    file.write_text(re.sub(r"relay1\.[\w=-]+", seal("elsewhere", "rs_1", "7"), file.read_text()))
    for number in range(2):
        house.backend.reply(say("Seven."))
        again = client.resume(first.thread, "What was it?", model="gpt-5.5")
        assert (again.text, again.errors) == ("Seven.", [])
        refused = house.backend.refusals
        assert len(refused) == 1 and "could not be verified" in refused[0], number
    house.backend.refusals.clear()


def test_codexs_own_login_serves_both(houses: NewHouse) -> None:
    """The relay renews it where it lies, and Codex reads what it wrote."""
    house = houses(chatgpt_auth="{folder}/codex0/home/auth.json")
    client = house.codex()
    file, tokens = client.home / "auth.json", house.auth.give(ADA)
    kept = {"id_token": tokens.id, "access_token": tokens.access, "unknown": [1]}
    kept |= {"refresh_token": tokens.refresh, "account_id": ADA.workspace}
    login = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": kept, "later": {"a": 1}}
    file.write_text(json.dumps(login | {"last_refresh": "2026-01-01T00:00:00Z"}))
    house.auth.revoke(tokens.access)
    house.backend.reply(say("Hello."))
    house.backend.reply(say("Hello again."))
    assert client.exec("Hello?", model="gpt-5.5").text == "Hello."
    assert house.auth.refreshes == 1
    told = json.loads(file.read_text())
    assert told["tokens"]["refresh_token"] in house.auth.fresh
    assert (told["later"], told["tokens"]["unknown"]) == ({"a": 1}, [1])
    assert "ChatGPT" in client.login()
    run = client.exec("And now?", model="gpt-5.5")
    assert (run.text, run.errors) == ("Hello again.", [])
    assert json.loads(file.read_text()) == told
    house.auth.verify()
    house.verify()


def test_compact_for_clients_that_ask_apart(house: House) -> None:
    """`POST /v1/responses/compact`, whose output is the next input."""

    def ask(path: str, **body: Any) -> Json:
        url = f"{house.relay.url}/v1/responses{path}"
        with httpx2.Client(trust_env=False) as client:
            reply = client.post(url, json={"model": "gpt-5.5", "store": False, **body})
        assert reply.status_code == 200, reply.text
        made: Json = reply.json()
        return made

    house.backend.reply(think("A tree."), say("Which tree?"))
    house.backend.reply(think("In short."), say(SUMMARY))
    house.backend.reply(say("Planted."))
    asked = [{"role": "user", "content": "Plant the tree."}]
    said = ask("", input=asked)["output"]
    short = ask("/compact", input=[*asked, *said])["output"]
    assert [item["type"] for item in short] == ["message", "compaction"]
    again = [{"role": "user", "content": "The apple tree."}]
    assert ask("", input=[*short, *again])["output"][-1]["content"][0]["text"] == "Planted."
    _, compacting, last = house.backend.turns
    assert kinds(compacting) == ["reasoning", "message"]
    assert json.dumps(SUMMARY)[1:] in texts(last)
