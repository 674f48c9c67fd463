"""Who serves which model, with an account and a Chat provider side by side."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.addons.gateway import Gateway, gateway
from tests.addons.proxy import Answer, Call, bounded, upstream
from tests.fake_auth import person
from tests.replies import say
from tests.translate.support import chunk
from tests.translate.support import stream as chat

ADA = person("ada")
LISTED = {"data": [{"id": "deepseek-chat"}, {"id": "gpt-5.5-mini"}]}


def provider(call: Call) -> None:
    if call.line.startswith("GET"):
        call.reply(200, json.dumps(LISTED).encode())
    else:
        call.stream(chat(chunk(role="assistant", content="Hi"), chunk("stop")))
        call.end()


async def chatted(relay: Gateway, model: str) -> Answer:
    return await relay.chat(model)


async def responded(relay: Gateway, model: str) -> Answer:
    return await relay.post("/v1/responses", {"model": model, "input": "Hi"})


@pytest.mark.parametrize(
    ("ask", "asked", "served", "model"),
    [
        # a Chat client has the provider for what that lists, and the account for the rest
        (chatted, "deepseek-chat", "deepseek", "deepseek-chat"),
        (chatted, "gpt-5.5-mini", "deepseek", "gpt-5.5-mini"),
        (chatted, "gpt-5.5", "chatgpt", "gpt-5.5"),
        (chatted, "gpt-5.5-high", "chatgpt", "gpt-5.5"),
        (chatted, "codex", "chatgpt", "gpt-6.1-sol"),
        (chatted, "unheard-of", "chatgpt", "unheard-of"),
        # Codex has the provider, unless it names the account
        (responded, "deepseek-chat", "deepseek", "deepseek-chat"),
        (responded, "gpt-5.5", "deepseek", "gpt-5.5"),
        (responded, "chatgpt/gpt-5.5", "chatgpt", "gpt-5.5"),
        (responded, "codex-mini", "chatgpt", "gpt-6-luna"),
        # names decide before all else
        (chatted, "chatgpt/deepseek-chat", "chatgpt", "deepseek-chat"),
        (chatted, "deepseek/gpt-5.5", "deepseek", "gpt-5.5"),
        (chatted, "mine", "chatgpt", "gpt-5.5"),
        (responded, "theirs", "deepseek", "deepseek-chat"),
    ],
)
@bounded
async def test_who_serves(
    tmp_path_factory: pytest.TempPathFactory, ask: Any, asked: str, served: str, model: str
) -> None:
    async with upstream(provider) as above:
        options = {
            "relay_upstream": f"http://127.0.0.1:{above.port}/v1",
            "relay_provider": "deepseek",
            "relay_api_key": "k",
            "relay_model_map": "mine:chatgpt/gpt-5.5,theirs:deepseek-chat",
        }
        async with gateway(tmp_path_factory.mktemp("a"), ADA, **options) as relay:
            if served == "chatgpt":
                relay.backend.reply(say("Hello"))
            answer = await ask(relay, asked)
    assert answer.status == 200, answer.body
    assert answer.headers["x-relay-provider"] == served
    assert answer.headers["x-relay-model"] == model


@bounded
async def test_without_an_account_all_goes_to_the_provider(tmp_path: Path) -> None:
    async with upstream(provider) as above:
        options = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", "relay_api_key": "k"}
        async with gateway(tmp_path, **options) as relay:
            answer = await relay.chat("gpt-5.5")
            named = await relay.chat("chatgpt/gpt-5.5")
    assert answer.headers["x-relay-provider"] == "generic"
    assert named.status == 401


@bounded
async def test_an_alternative_serves_where_no_account_can(tmp_path: Path) -> None:
    async with upstream(provider) as above:
        options = {
            "relay_upstream": f"http://127.0.0.1:{above.port}/v1",
            "relay_provider": "deepseek",
            "relay_api_key": "k",
            "relay_model_map": "best:chatgpt/gpt-5.5|deepseek-chat",
        }
        async with gateway(tmp_path, **options) as relay:
            answer = await relay.chat("best")
    assert answer.headers["x-relay-provider"] == "deepseek"


@bounded
async def test_the_accounts_models_are_listed_under_its_name(tmp_path: Path) -> None:
    async with upstream(provider) as above:
        options = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", "relay_api_key": "k"}
        async with gateway(tmp_path, ADA, **options) as relay:
            listed = json.loads((await relay.get("/v1/models")).body)["data"]
    names = [entry["id"] for entry in listed]
    assert names == ["deepseek-chat", "gpt-5.5-mini", "chatgpt/gpt-5.5", "chatgpt/gpt-6.1-sol"]
