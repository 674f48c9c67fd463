"""What a client is told to do about the upstream's error reply."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from addons.config.config_file import builtin_providers
from addons.routing.model_selection import ModelTarget
from addons.routing.reply_advice import first_names, reply_advice
from addons.routing.target import Target
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Call, Client, bounded, proxy, upstream
from tests.translate.support import chunk, stream

CHAT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi."}]}).encode()
GENERIC = builtin_providers()["generic"]


@asynccontextmanager
async def refusing_relay(
    status: int, folder: Path, models: bytes = b"{}", table: str = "", path: str = "/v1"
) -> AsyncIterator[tuple[int, list[Call], str]]:
    """A relay before an upstream that refuses every chat with this status, whose URL ends in this
    path; with `table`, it is the provider `box` of relay.toml. Port, calls, the upstream's URL."""

    def handler(call: Call) -> None:
        if call.request_line.startswith("GET"):
            call.reply(200, models)
        elif status == 200:
            call.stream(stream(chunk(content="Hi."), chunk("stop")))
            call.end()
        else:
            call.reply(status, b'{"error": {"message": "No."}}')

    async with upstream(handler) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        options: dict[str, Any] = {"relay_upstream": url}
        if table:
            file = folder / "relay.toml"
            file.write_text(f'[providers.box]\nbase_urls = ["{url}"]\n{table}')
            options = {"relay_config": str(file)}
        async with proxy(*exchange_addons(), **options) as (_, port):
            yield port, server.seen, url


async def refusal(port: int, **headers: str) -> str:
    async with Client.connect(port) as client:
        answer = await client.ask("/v1/chat/completions", CHAT, **headers)
    message: str = json.loads(answer.body)["error"]["message"]
    return message


@bounded
async def test_refused_key_is_named_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was "check the key or the login", also where none was sent."""
    monkeypatch.setenv("BOX_API_KEY", "sk-box-0001")
    async with refusing_relay(401, tmp_path, table='key_env = ["BOX_API_KEY"]') as (port, *_):
        message = await refusal(port)
        assert message == "box answered 401: No. (check the key in BOX_API_KEY)"
        assert "sk-box" not in message
    monkeypatch.delenv("BOX_API_KEY")
    async with refusing_relay(403, tmp_path, table='key_env = ["BOX_API_KEY"]') as (port, *_):
        assert "(no key was sent; set BOX_API_KEY or relay_api_key)" in await refusal(port)
        message = await refusal(port, authorization="Bearer sk-mine-0001")
        assert "check that the key in the client's request may use this model" in message


@bounded
async def test_key_of_the_settings_is_named_by_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with refusing_relay(401, tmp_path) as (port, *_):
        assert "set CODEX_RELAY_API_KEY or relay_api_key" in await refusal(port)
    monkeypatch.setenv("CODEX_RELAY_API_KEY", "sk-mine-0001")
    async with refusing_relay(401, tmp_path) as (port, *_):
        assert (await refusal(port)).endswith("(check the key in CODEX_RELAY_API_KEY)")


@bounded
async def test_own_provider_gets_the_key_of_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """addons/README.md shows this table."""
    monkeypatch.setenv("BOX_API_KEY", "sk-box-0001")
    async with refusing_relay(200, tmp_path, table='key_env = ["BOX_API_KEY"]') as (port, calls, _):
        async with Client.connect(port) as client:
            assert (await client.ask("/v1/chat/completions", CHAT)).status == 200
        assert calls[-1].headers["authorization"] == "Bearer sk-box-0001"


@bounded
async def test_missing_version_is_named_with_the_url(tmp_path: Path) -> None:
    async with refusing_relay(404, tmp_path, path="") as (port, _, url):
        assert f"(no /v1 in the URL: did you mean {url}/v1? Else check" in await refusal(port)


@bounded
async def test_models_of_the_provider_are_named(tmp_path: Path) -> None:
    async with refusing_relay(404, tmp_path, models=b'["a", "tts-1", "b"]') as (port, *_):
        async with Client.connect(port) as client:
            client.send("/v1/models", b"", method="GET")
            await client.head()
            await client.rest()
        message = await refusal(port)
    assert message.endswith("(its models are a, b; relay_model can name one)")


def test_recorded_exchange_keeps_its_advice() -> None:
    target = Target(GENERIC, "http://box:9")
    assert reply_advice(ModelTarget(target, "m", recorded_advice="as it was"), 404) == "as it was"
    assert reply_advice(ModelTarget(target, "m"), 500) == ""
    assert "no /v1" in reply_advice(ModelTarget(target, "m"), 404)
    assert reply_advice(ModelTarget(Target(GENERIC, "http://box:9/v1"), "m"), 404) == ""


def test_long_lists_are_cut() -> None:
    assert first_names(list("abcdefg")) == "a, b, c, d, e and 2 more"
