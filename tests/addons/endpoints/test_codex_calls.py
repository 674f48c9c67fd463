import asyncio
import json
import shlex
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from addons.accounts.claims import chatgpt_account
from addons.demo_provider import Demo
from addons.routing import installed
from addons.routing import model_lists as models
from tests.addons.chain import chain_of
from tests.addons.proxy import Answer, Call, Client, Handler, bounded, proxy, upstream
from tests.codex.driver import ACCOUNT, CODEX, base_environment, jwt

CLIENT = {"user_agent": "codex_exec/0.169.0"}
LIST = b'{"data": [{"id": "a", "context_length": 1000}, {"id": "b"}, {"id": "tts-1"}]}'


@pytest.fixture(autouse=True)
def no_codex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """None is installed, unless the test says so."""
    monkeypatch.setenv("PATH", str(tmp_path))


@asynccontextmanager
async def relay(*handlers: Handler, **options: Any) -> AsyncIterator[tuple[Client, list[Call]]]:
    """A client of the relay, and what reaches its upstream."""
    chain = chain_of(Demo())
    async with upstream(*handlers) as above:
        chosen = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", **options}
        async with proxy(*chain, **chosen) as (_, port), Client.connect(port) as client:
            yield client, above.seen


async def get(client: Client, target: str, method: str = "GET", **headers: str) -> Answer:
    client.send(target, b"", method=method, **headers)
    await client.head()
    if method != "HEAD":
        await client.rest()
    return Answer(client.answer.status, client.answer.headers, client.answer.body)


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200
    return [model["id"] for model in json.loads(answer.body)["data"]]


def slugs(answer: Answer) -> list[str]:
    assert answer.status == 200
    return [model["slug"] for model in json.loads(answer.body)["models"]]


def lists(body: bytes = LIST, status: int = 200) -> Handler:
    def handler(call: Call) -> None:
        call.reply(status, body, content_type="application/json")

    return handler


@bounded
async def test_the_upstreams_models_in_both_forms() -> None:
    async with relay(lists(), relay_api_key="sk-mine") as (client, seen):
        assert ids(await get(client, "/v1/models")) == ["a", "b", "tts-1"]
        answer = await get(client, "/v1/models?client_version=0.169.0")
        assert slugs(answer) == ["a", "b"]
        assert json.loads(answer.body)["models"][0]["context_window"] == 1000
    [call] = seen  # asked once
    assert call.line == "GET /v1/models HTTP/1.1"
    assert call.headers["authorization"] == "Bearer sk-mine"


@bounded
async def test_no_header_of_the_client_goes_up() -> None:
    private = {"cookie": "c=1", "chatgpt_account_id": ACCOUNT, "authorization": "Bearer sk-proj-x"}
    async with relay(lists(), relay_api_key="sk-mine") as (client, seen):
        assert (await get(client, "/models", **private)).status == 200
    assert set(seen[0].headers) <= {
        *("accept", "accept-encoding", "authorization", "connection", "host", "user-agent"),
    }
    assert seen[0].headers["authorization"] == "Bearer sk-mine"


@bounded
async def test_configured_names_are_listed_first() -> None:
    options = {"relay_model": "b", "relay_model_map": "gpt-5.5:a,gpt-6*:b"}
    async with relay(lists(), **options) as (client, _):
        answer = await get(client, "/models?client_version=1")
    assert slugs(answer) == ["b", "gpt-5.5", "a"]
    assert [m["priority"] for m in json.loads(answer.body)["models"]] == [0, 1, 2]


@bounded
async def test_each_model_takes_the_pictures_that_its_own_table_says() -> None:
    listed = {
        "data": [
            {"id": "glm-5.2"},
            {"id": "glm-4.6v"},
            {"id": "glm-9", "input_modalities": ["image"]},
        ]
    }
    options = {"relay_provider": "glm", "relay_model_map": "seer:glm-4.6v,blind:glm-5.2"}
    async with relay(lists(json.dumps(listed).encode()), **options) as (client, _):
        answer = await get(client, "/models?client_version=1")
    models = json.loads(answer.body)["models"]
    assert {one["slug"]: "image" in one["input_modalities"] for one in models} == {
        "seer": True, "blind": False, "glm-5.2": False, "glm-4.6v": True, "glm-9": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"), [(b"no", 404), (b"<html>", 200), (b"", 500), (b"", 302)]
)
def test_without_a_list_the_configured_names_remain(body: bytes, status: int) -> None:
    async def run() -> None:
        async with relay(lists(body, status), relay_model="m") as (client, seen):
            assert ids(await get(client, "/v1/models")) == ["m"]
            assert slugs(await get(client, "/v1/models?client_version=1")) == ["m"]
            assert len(seen) == 1  # a failure is kept as well, for a while

    bounded(run)()


@bounded
async def test_an_unreachable_upstream_is_no_failure_of_ours() -> None:
    async with relay(lists(), relay_upstream="http://127.0.0.1:9/v1", relay_model="m") as (c, _):
        assert ids(await get(c, "/v1/models")) == ["m"]


@bounded
async def test_a_silent_upstream_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(call: Call) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(models, "PATIENCE", 0.2)
    async with relay(silent, relay_model="m") as (client, _):
        assert ids(await get(client, "/v1/models")) == ["m"]


@bounded
async def test_codex_keeps_its_own_catalog_where_there_is_nothing_to_offer() -> None:
    async with relay(lists(b"", 404)) as (client, _):
        assert ids(await get(client, "/v1/models")) == []
        answer = await get(client, "/v1/models?client_version=1")
        assert answer.status == 404
        assert b"relay_model" in answer.body


@bounded
async def test_concurrent_clients_share_one_fetch() -> None:
    async def slow(call: Call) -> None:
        await asyncio.sleep(0.2)
        lists()(call)

    async with relay(slow) as (client, seen):
        port = client.writer.get_extra_info("peername")[1]

        async def ask() -> list[str]:
            async with Client.connect(port) as other:
                return ids(await get(other, "/v1/models"))

        assert await asyncio.gather(*(ask() for _ in range(5))) == [["a", "b", "tts-1"]] * 5
        assert len(seen) == 1


@bounded
async def test_the_list_is_asked_for_again_after_its_time() -> None:
    async with relay(lists(), lists(b'["new"]'), relay_models_ttl="0") as (client, _):
        assert ids(await get(client, "/v1/models")) == ["a", "b", "tts-1"]
        assert ids(await get(client, "/v1/models")) == ["new"]


@bounded
async def test_each_key_has_its_own_list() -> None:
    async with relay(lists(), lists(b'["new"]')) as (client, seen):
        for key in ("one", "two", "one"):
            await get(client, "/v1/models", authorization=f"Bearer {key}")
        assert [call.headers["authorization"] for call in seen] == ["Bearer one", "Bearer two"]
        for i in range(models.KEPT):  # and there is an end to it
            await get(client, "/v1/models", authorization=f"Bearer {i}")
        assert len(models._lists) == models.KEPT


def install(folder: Path, *command: str | Path) -> None:
    program = folder / "codex"
    words = [shlex.quote(str(w)) if isinstance(w, Path) else w for w in command]
    program.write_text("#!/bin/sh\n" + " ".join(words))
    program.chmod(0o755)


async def base_of(client: Client) -> dict[str, Any]:
    answer = await get(client, "/models?client_version=1")
    [model] = json.loads(answer.body)["models"]
    found: dict[str, Any] = model
    return found


@bounded
async def test_the_installed_codex_gives_the_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    install(tmp_path, "echo asked >>", tmp_path / "log", "\nexec", CODEX, '"$@"')
    async with relay(lists(b'["m"]')) as (client, _):
        entry = await base_of(client)
        await base_of(client)
    assert (tmp_path / "log").read_text() == "asked\n"
    assert entry["slug"] == "m"
    assert entry["base_instructions"].startswith("You are Codex, a coding agent. You and the user")
    assert (entry["tool_mode"], entry["model_messages"]) == (None, None)
    assert "supports_experimental_context" in entry  # a field that we know nothing of


@pytest.mark.parametrize("command", [["exit 1"], ["echo '{}'"], ["echo no"], ["exec sleep 60"]])
def test_a_codex_that_gives_none_does_no_harm(
    command: Iterable[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(installed, "PATIENCE", 1.0)
        async with relay(lists(b'["m"]')) as (client, _):
            entry = await base_of(client)
        assert entry["base_instructions"] == models.own_instructions()

    install(tmp_path, *command)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    bounded(run)()


CLAIMS = {"https://api.openai.com/auth": {"chatgpt_account_id": ACCOUNT}}


@bounded
async def test_the_account_is_the_tokens_own() -> None:
    path = "/backend-api/wham/accounts/check"
    token = {"authorization": f"Bearer {jwt(CLAIMS)}"}
    async with relay(lists()) as (client, seen):
        for sent in (token, {**token, "chatgpt_account_id": "other"}):
            answer = json.loads((await get(client, path, **sent)).body)
            assert answer["default_account_id"] == ACCOUNT
            assert answer["account_ordering"] == [ACCOUNT]
            [account] = answer["accounts"]
            assert account["id"] == ACCOUNT
            assert account["workspace_backend_origin"] == "https://chatgpt.com"
        answer = await get(client, path, authorization="Bearer x", chatgpt_account_id="by-header")
        assert json.loads(answer.body)["default_account_id"] == "by-header"
        assert (await get(client, path)).status == 404
    assert seen == []


@pytest.mark.parametrize(
    "token",
    [
        "",
        "sk-proj-x",
        "a.b.c",
        "a.\u00e4.c",
        jwt({}),
        jwt({"https://api.openai.com/auth": 5}),
        jwt({"https://api.openai.com/auth": {"chatgpt_account_id": 5}}),
        "a." + "W1tb" * 20000 + ".c",
    ],
)
def test_a_token_without_an_account(token: str) -> None:
    assert chatgpt_account(token) is None


@bounded
async def test_upgrades_are_declined() -> None:
    async with relay(lists()) as (client, _):
        upgrade = {"upgrade": "websocket", "connection": "upgrade", "sec_websocket_version": "13"}
        answer = await get(client, "/v1/responses", **upgrade, sec_websocket_key="eA==")
        assert answer.status == 426
        assert (await get(client, "/health")).status == 200  # on the same connection


@bounded
async def test_health() -> None:
    async with relay(lists(), relay_api_key="sk-hush") as (client, seen):
        answer = await get(client, "/health")
        assert answer.headers["content-type"] == "application/json"
        health = json.loads(answer.body)
        assert health["status"] == "ok"
        assert health["upstream"].startswith("http://127.0.0.1:")
        assert health["provider"] == "generic"
        assert health["version"].count(".") == 2
        assert health["uptime"] >= 0
        assert "hush" not in answer.body.decode()
        head = await get(client, "/health", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 50
        assert (await get(client, "/health")).status == 200  # HEAD left nothing behind
    assert seen == []


@bounded
async def test_the_front_page_says_what_this_is() -> None:
    async with relay(lists()) as (client, _):
        answer = await get(client, "/", host="localhost:1234")
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"codex-relay" in answer.body
    assert b"http://localhost:1234/v1" in answer.body
    assert b"GET /health" in answer.body


@bounded
async def test_what_is_not_there_is_said_in_openais_form() -> None:
    async with relay(lists()) as (client, seen):
        answer = await client.ask("/v1/responses/none/cancelled?token=hush")
        error = json.loads(answer.body)["error"]
        assert answer.status == 404
        assert error["type"] == "invalid_request_error"
        assert error["message"].startswith("POST /v1/responses/none/cancelled: no such path.")
        assert "POST /v1/responses" in error["message"]
        answer = await get(client, "/v1/responses", "DELETE")
        assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert seen == []


@bounded
async def test_isolation_keeps_codexs_other_calls_at_home() -> None:
    async with relay(lists()) as (client, seen):
        port = client.writer.get_extra_info("peername")[1]
        async with Client.connect(port, tunnel="chatgpt.com") as codex:
            sent = {"host": "chatgpt.com", **CLIENT}
            answer = await codex.ask("/backend-api/codex/analytics-events/events", b"{}", **sent)
            assert answer.status == 404
            assert b"relay_isolate" in answer.body
    assert seen == []


@bounded
async def test_without_isolation_they_go_where_they_were_sent() -> None:
    async with upstream(lists(b"away")) as openai:
        there = f"|http://chatgpt.com/|http://127.0.0.1:{openai.port}/"
        async with relay(lists(), relay_isolate="off", map_remote=[there]) as (client, seen):
            target = "http://chatgpt.com/backend-api/wham/usage"
            answer = await get(client, target, host="chatgpt.com", **CLIENT)
            assert (answer.status, answer.body) == (200, b"away")
            target = "http://chatgpt.com/backend-api/codex/models"
            other = {"host": "chatgpt.com", "user_agent": "another program"}
            assert (await get(client, target, **other)).body == b"away"
            own = await get(client, target, host="chatgpt.com", **CLIENT)
            assert ids(own) == ["a", "b", "tts-1"]
        assert len(seen) == 1
        assert len(openai.seen) == 2


def exec_codex(folder: Path, catalog: bytes) -> "subprocess.CompletedProcess[str]":
    """The real Codex with this catalog; its provider is not there."""
    home = folder / "home"
    home.mkdir()
    (home / "catalog.json").write_bytes(catalog)
    (home / "config.toml").write_text(
        f'model_catalog_json = "{home}/catalog.json"\nmodel_provider = "x"\n'
        '[model_providers.x]\nname = "x"\nbase_url = "http://127.0.0.1:9"\n'
        "request_max_retries = 0\nstream_max_retries = 0\n"
        "[features]\nunbounded_connection_retries = false\nplugins = false\n"
    )
    return subprocess.run(
        [CODEX, "exec", "--json", "--skip-git-repo-check", "-m", "a", "hello"],
        env=base_environment(folder) | {"CODEX_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("installed", [False, True])
def test_the_real_codex_takes_the_catalog(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Answer] = []

    async def run() -> None:
        async with relay(lists()) as (client, _):
            found.append(await get(client, "/v1/models?client_version=1"))

    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    if installed:
        install(tmp_path, "exec", CODEX, '"$@"')
    bounded(run)()
    done = exec_codex(tmp_path, found[0].body)
    told = (done.stdout + done.stderr).lower()
    assert "thread.started" in told
    assert "metadata" not in told
    assert "catalog" not in told
