"""The list of models and Codex's catalog, from upstreams that answer, fail, or keep silent."""

import asyncio
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from addons.routing import codex_cli
from addons.routing import model_lists as models
from tests.addons.endpoints.calls import (
    answer_with_list,
    catalog_slugs,
    get_path,
    install_program,
    model_ids,
    relay_client,
)
from tests.addons.proxy import Answer, Call, Client, bounded
from tests.codex.driver import ACCOUNT, CODEX, base_environment


@pytest.fixture(autouse=True)
def no_installed_codex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Codex is on PATH, unless the test installs one."""
    monkeypatch.setenv("PATH", str(tmp_path))


@bounded
async def test_models_of_the_upstream_in_both_forms() -> None:
    async with relay_client(answer_with_list(), relay_api_key="sk-mine") as (client, calls):
        assert model_ids(await get_path(client, "/v1/models")) == ["a", "b", "tts-1"]
        answer = await get_path(client, "/v1/models?client_version=0.169.0")
        assert catalog_slugs(answer) == ["a", "b"]
        assert json.loads(answer.body)["models"][0]["context_window"] == 1000
    [call] = calls  # one fetch for both
    assert call.request_line == "GET /v1/models HTTP/1.1"
    assert call.headers["authorization"] == "Bearer sk-mine"


@bounded
async def test_headers_of_the_client_do_not_reach_the_upstream() -> None:
    private = {"cookie": "c=1", "chatgpt_account_id": ACCOUNT, "authorization": "Bearer sk-proj-x"}
    async with relay_client(answer_with_list(), relay_api_key="sk-mine") as (client, calls):
        assert (await get_path(client, "/models", **private)).status == 200
    assert set(calls[0].headers) <= {
        *("accept", "accept-encoding", "authorization", "connection", "host", "user-agent"),
    }
    assert calls[0].headers["authorization"] == "Bearer sk-mine"


@bounded
async def test_configured_names_come_first() -> None:
    settings = {"relay_model": "b", "relay_model_map": "gpt-5.5:a,gpt-6*:b"}
    async with relay_client(answer_with_list(), **settings) as (client, _):
        answer = await get_path(client, "/models?client_version=1")
    assert catalog_slugs(answer) == ["b", "gpt-5.5", "a"]
    assert [model["priority"] for model in json.loads(answer.body)["models"]] == [0, 1, 2]


@bounded
async def test_each_model_accepts_images_as_its_own_table_says() -> None:
    model_list = {
        "data": [
            {"id": "glm-5.2"},
            {"id": "glm-4.6v"},
            {"id": "glm-9", "input_modalities": ["image"]},
        ]
    }
    settings = {"relay_provider": "glm", "relay_model_map": "seer:glm-4.6v,blind:glm-5.2"}
    async with relay_client(answer_with_list(json.dumps(model_list).encode()), **settings) as (
        client,
        _,
    ):
        answer = await get_path(client, "/models?client_version=1")
    models = json.loads(answer.body)["models"]
    assert {entry["slug"]: "image" in entry["input_modalities"] for entry in models} == {
        "seer": True, "blind": False, "glm-5.2": False, "glm-4.6v": True, "glm-9": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"), [(b"no", 404), (b"<html>", 200), (b"", 500), (b"", 302)]
)
def test_configured_names_remain_without_a_list(body: bytes, status: int) -> None:
    async def run() -> None:
        async with relay_client(answer_with_list(body, status), relay_model="m") as (client, calls):
            assert model_ids(await get_path(client, "/v1/models")) == ["m"]
            assert catalog_slugs(await get_path(client, "/v1/models?client_version=1")) == ["m"]
            assert len(calls) == 1  # the failure is remembered for a while

    bounded(run)()


@bounded
async def test_unreachable_upstream_leaves_the_configured_names() -> None:
    async with relay_client(
        answer_with_list(), relay_upstream="http://127.0.0.1:9/v1", relay_model="m"
    ) as (client, _):
        assert model_ids(await get_path(client, "/v1/models")) == ["m"]


@bounded
async def test_silent_upstream_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(call: Call) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(models, "CHECK_TIMEOUT", 0.2)
    async with relay_client(silent, relay_model="m") as (client, _):
        assert model_ids(await get_path(client, "/v1/models")) == ["m"]


@bounded
async def test_codex_keeps_its_own_catalog_if_there_are_no_models() -> None:
    async with relay_client(answer_with_list(b"", 404)) as (client, _):
        for query in ("", "?client_version=1"):
            answer = await get_path(client, f"/v1/models{query}")
            assert answer.status == 404
            assert b"there is no list of models at http" in answer.body
            assert b"relay_model can name one" in answer.body


@pytest.mark.parametrize(("status", "body"), [(401, b"{}"), (502, b""), (502, b"<html>")])
def test_list_that_failed_says_why(status: int, body: bytes) -> None:
    """It was 200 with an empty list, and the user of an SDK saw no reason."""
    upstream_status = {b"{}": 401, b"": 500, b"<html>": 200}[body]

    async def run() -> None:
        async with relay_client(answer_with_list(body, upstream_status)) as (client, _):
            for path in ("/v1/models", "/v1/models/m"):
                answer = await get_path(client, path)
                assert answer.status == status and answer.headers["x-should-retry"] == "false"
                error = json.loads(answer.body)["error"]
                assert error["message"].startswith("The upstream 127.0.0.1:")
                assert error["code"] == "no_model_list"
            assert (await get_path(client, "/v1/models?client_version=1")).status == 404

    bounded(run)()


@bounded
async def test_missing_key_is_named() -> None:
    async with relay_client(answer_with_list(b"{}", 401)) as (client, _):
        message = json.loads((await get_path(client, "/v1/models")).body)["error"]["message"]
        assert "no key was sent (401); set CODEX_RELAY_API_KEY or relay_api_key" in message
        answer = await get_path(client, "/v1/models", authorization="Bearer sk-other-0001")
        assert b"check the key in the client's request" in answer.body
        answer = await get_path(client, "/v1/models", authorization="Bearer none")
        assert b"no key was sent" in answer.body


@bounded
async def test_list_with_some_models_notes_what_is_missing() -> None:
    async with relay_client(answer_with_list(b"{}", 401), relay_model="m") as (client, _):
        answer = await get_path(client, "/v1/models")
        assert model_ids(answer) == ["m"]
        assert "no key was sent (401)" in answer.headers["x-relay-dropped"]


@bounded
async def test_long_catalog_fits_into_what_codex_reads() -> None:
    """Codex 0.163 ignores a catalog above 1 MiB, and then has no model at all."""
    names = [f"vendor/model-{number}" for number in range(350)]
    entries = [
        {"id": name, "supported_parameters": ["tools"] if number % 3 else []}
        for number, name in enumerate(names)
    ]
    model_list = json.dumps({"data": entries}).encode()
    async with relay_client(answer_with_list(model_list)) as (client, _):
        old = await get_path(client, "/v1/models?client_version=0.163.0")
        new = await get_path(client, "/v1/models?client_version=0.169.0")
        openai = await get_path(client, "/v1/models")
    assert len(old.body) < 1 << 20
    assert not {names[0], names[3]} & set(catalog_slugs(old))  # they call no tools
    assert len(catalog_slugs(old)) > 220 and len(catalog_slugs(new)) == 350
    assert old.headers["x-relay-dropped"].endswith("models, as Codex reads no longer catalog")
    assert model_ids(openai) == names


@bounded
async def test_concurrent_clients_share_one_fetch() -> None:
    async def slow(call: Call) -> None:
        await asyncio.sleep(0.2)
        answer_with_list()(call)

    async with relay_client(slow) as (client, calls):
        port = client.writer.get_extra_info("peername")[1]

        async def ask() -> list[str]:
            async with Client.connect(port) as another_client:
                return model_ids(await get_path(another_client, "/v1/models"))

        assert await asyncio.gather(*(ask() for _ in range(5))) == [["a", "b", "tts-1"]] * 5
        assert len(calls) == 1


@bounded
async def test_list_is_fetched_again_after_its_time() -> None:
    async with relay_client(
        answer_with_list(), answer_with_list(b'["new"]'), relay_models_ttl="0"
    ) as (client, _):
        assert model_ids(await get_path(client, "/v1/models")) == ["a", "b", "tts-1"]
        assert model_ids(await get_path(client, "/v1/models")) == ["new"]


@bounded
async def test_each_key_has_its_own_list() -> None:
    async with relay_client(answer_with_list(), answer_with_list(b'["new"]')) as (client, calls):
        for key in ("one", "two", "one"):
            await get_path(client, "/v1/models", authorization=f"Bearer {key}")
        assert [call.headers["authorization"] for call in calls] == ["Bearer one", "Bearer two"]
        for number in range(models.MAX_LISTS):  # the oldest lists are forgotten
            await get_path(client, "/v1/models", authorization=f"Bearer {number}")
        assert len(models._checks) == models.MAX_LISTS


async def catalog_entry(client: Client) -> dict[str, Any]:
    answer = await get_path(client, "/models?client_version=1")
    [model] = json.loads(answer.body)["models"]
    entry: dict[str, Any] = model
    return entry


@bounded
async def test_catalog_template_comes_from_the_installed_codex(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    install_program(tmp_path, "echo asked >>", tmp_path / "log", "\nexec", CODEX, '"$@"')
    async with relay_client(answer_with_list(b'["m"]')) as (client, _):
        entry = await catalog_entry(client)
        await catalog_entry(client)
    assert (tmp_path / "log").read_text() == "asked\n"
    assert entry["slug"] == "m"
    assert entry["base_instructions"].startswith("You are Codex, a coding agent. You and the user")
    assert (entry["tool_mode"], entry["model_messages"]) == (None, None)
    assert "supports_experimental_context" in entry  # a field that the relay does not know


@pytest.mark.parametrize("command", [["exit 1"], ["echo '{}'"], ["echo no"], ["exec sleep 60"]])
def test_broken_codex_leaves_the_default_template(
    command: Iterable[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        monkeypatch.setattr(codex_cli, "CODEX_TIMEOUT", 1.0)
        async with relay_client(answer_with_list(b'["m"]')) as (client, _):
            entry = await catalog_entry(client)
        assert entry["base_instructions"] == models.base_instructions()

    install_program(tmp_path, *command)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    bounded(run)()


def exec_codex(folder: Path, catalog: bytes) -> "subprocess.CompletedProcess[str]":
    """Run the real Codex with this catalog, and a provider that does not answer."""
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
def test_real_codex_accepts_the_catalog(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Answer] = []

    async def run() -> None:
        async with relay_client(answer_with_list()) as (client, _):
            answers.append(await get_path(client, "/v1/models?client_version=1"))

    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    if installed:
        install_program(tmp_path, "exec", CODEX, '"$@"')
    bounded(run)()
    process = exec_codex(tmp_path, answers[0].body)
    output = (process.stdout + process.stderr).lower()
    assert "thread.started" in output
    assert "metadata" not in output
    assert "catalog" not in output
