import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mitmproxy.test import tflow

from addons.config.addon import Config
from addons.config.config_file import known
from addons.config.given import read
from addons.demo_provider import Demo
from addons.flow_data import OWN
from addons.identity import USER_AGENT
from addons.routing import model_selection as selection
from addons.routing import target as upstream
from tests.addons.chain import chain_of
from tests.addons.proxy import Answer, Call, Client, bounded, proxy
from tests.addons.proxy import upstream as serving
from tests.codex.driver import ACCOUNT, jwt
from tests.strict_chat import HEADERS
from tests.translate.support import chunk
from tests.translate.support import stream as chat

KNOWN = known()

HELLO = json.dumps({"model": "gpt-5.5", "input": "Hello."}).encode()
CLAIM = "https://api.openai.com/auth"

OPENAIS = {
    "project": "sk-proj-abc123",
    "service account": "sk-svcacct-abc123",
    "admin": "sk-admin-abc123",
    "of the first kind": "sk-abcdefghijklmnopqrstT3BlbkFJabcdefghijklmnopqrst",
    "ChatGPT's": jwt({CLAIM: {"chatgpt_account_id": ACCOUNT}}),
    "a session's": "sess-abc123",
    "the login's profile": jwt({"https://api.openai.com/profile": {"email": "me@example.com"}}),
    "the login's own": jwt({"iss": "https://auth.openai.com", "sub": "me"}),
    "ChatGPT's without an account": jwt({CLAIM: {"user_id": "user-x"}}),
}
MANGLED = {
    "quoted": '"sk-proj-abc123"',
    "one of two": "aaa, Bearer sk-proj-abc123",
    "said twice": "Bearer sk-proj-abc123",
    "behind a space of another kind": "\u00a0sk-proj-abc123",
}
PROVIDERS = {
    "plain": "sk-abc123",
    "no prefix": "0123456789abcdef.XyZ",
    "a JWT": jwt({"sub": "me", "aud": "https://api.minimax.io"}),
    "a JWT of an account": jwt({"chatgpt_account_id": ACCOUNT}),
    "almost a JWT": "a.!!!.c",
    "like OpenAI's": "sk-project-abc",
}


@asynccontextmanager
async def relay(
    models: bytes | None = None, **options: Any
) -> AsyncIterator[tuple[int, list[Call], list[Call]]]:
    """The relay's port; the chats and the list requests that reached its upstream."""
    chain = chain_of(Demo())
    chats: list[Call] = []
    lists: list[Call] = []

    def handler(call: Call) -> None:
        if call.line.startswith("POST /v1/chat/completions"):
            chats.append(call)
            call.stream(chat(chunk(content="Hi."), chunk("stop")))
            call.end()
        else:
            lists.append(call)
            call.reply(404 if models is None else 200, models or b"")

    async with serving(handler) as above:
        chosen = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", **options}
        async with proxy(*chain, **chosen) as (_, port):
            yield port, chats, lists


async def sent(port: int, tunnel: str = "", body: bytes = HELLO, **headers: str) -> Answer:
    """The answer to a request on our port, or through it to one of OpenAI's hosts."""
    path = "/backend-api/codex/responses" if tunnel == "chatgpt.com" else "/v1/responses"
    async with Client.connect(port, tunnel=tunnel) as client:
        return await client.ask(path, body, host=tunnel or "localhost", **headers)


def key_of(call: Call) -> str | None:
    return call.headers.get("authorization", "").removeprefix("Bearer ") or None


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# The key


@pytest.mark.parametrize("token", PROVIDERS.values(), ids=PROVIDERS)
def test_a_client_may_bring_the_providers_key(token: str) -> None:
    async def run() -> None:
        async with relay() as (port, chats, _):
            for scheme in ("Bearer", "bearer", "BEARER "):
                assert (await sent(port, authorization=f"{scheme} {token}")).status == 200
        assert [key_of(call) for call in chats] == [token] * 3

    bounded(run)()


@pytest.mark.parametrize("token", [*OPENAIS.values(), *MANGLED.values()], ids=[*OPENAIS, *MANGLED])
@pytest.mark.parametrize("by_proxy", [False, True])
def test_openais_keys_never_leave(by_proxy: bool, token: str) -> None:
    async def run() -> None:
        tunnel = "api.openai.com" if by_proxy else ""
        async with relay(b"{}", relay_model="m") as (port, chats, lists):
            assert (await sent(port, tunnel, **bearer(token))).status == 200
        for call in [*chats, *lists]:
            assert "authorization" not in call.headers
            assert token not in f"{call.headers}{call.body!r}{call.line}"
        assert (len(chats), len(lists)) == (1, 1)

    bounded(run)()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer   "},
        {"authorization": "sk-abc"},
        {"authorization": "Basic c2stYWJj"},
        {"x_api_key": "sk-abc"},
        {**bearer("sk-abc"), "chatgpt_account_id": ACCOUNT},
    ],
)
def test_requests_without_a_key_that_we_may_use(headers: dict[str, str]) -> None:
    async def run() -> None:
        async with relay() as (port, chats, _):
            assert (await sent(port, **headers)).status == 200
        assert key_of(chats[0]) is None

    bounded(run)()


@bounded
async def test_a_key_that_came_by_proxy_was_meant_for_openai() -> None:
    async with relay() as (port, chats, _):
        assert (await sent(port, "api.openai.com", **bearer("sk-abc"))).status == 200
    assert key_of(chats[0]) is None


@bounded
async def test_a_client_key_is_ours_and_stays() -> None:
    async with relay(relay_client_key="ours") as (port, chats, _):
        assert (await sent(port, **bearer("sk-abc"))).status == 401
        assert (await sent(port, **bearer("ours"))).status == 200
    [call] = chats
    assert key_of(call) is None


@pytest.mark.parametrize("tunnel", ["", "api.openai.com"])
@pytest.mark.parametrize("brought", ["sk-abc", "sk-proj-abc"])
def test_the_configured_key_beats_the_clients(brought: str, tunnel: str) -> None:
    async def run() -> None:
        async with relay(b"{}", relay_api_key="mine", relay_model="m") as (port, chats, lists):
            assert (await sent(port, tunnel, **bearer(brought))).status == 200
        assert key_of(chats[0]) == key_of(lists[0]) == "mine"

    bounded(run)()


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://api.openai.com/v1", True),
        ("https://API.OpenAI.com:443/v1", True),
        ("https://api.openai.com.evil.test/v1", False),
        ("https://evil.test/api.openai.com", False),
        ("https://openai.com/v1", False),
        ("http://127.0.0.1:1/v1", False),
    ],
)
def test_openais_keys_go_to_openai_alone(url: str, goes: bool) -> None:
    async def run() -> None:
        flow = tflow.tflow()
        flow.metadata[OWN] = True
        async with proxy(Config(), relay_upstream=url):
            for token in OPENAIS.values():
                flow.request.headers["authorization"] = f"Bearer {token}"
                target = upstream.target(flow)
                assert target.key == (token if goes else None)
                assert token not in repr(target)

    bounded(run)()


# The provider


@pytest.mark.parametrize(
    ("settings", "name", "url"),
    [
        ({"upstream": "https://api.deepseek.com/v1"}, "deepseek", "https://api.deepseek.com/v1"),
        ({"upstream": "https://API.DeepSeek.com"}, "deepseek", "https://API.DeepSeek.com"),
        ({"upstream": "http://api.deepseek.com:81/x/"}, "deepseek", "http://api.deepseek.com:81/x"),
        ({"upstream": "https://deepseek.com/v1"}, "generic", "https://deepseek.com/v1"),
        ({"upstream": "https://x.test/api.deepseek.com"}, "generic", None),
        ({"upstream": "https://api.deepseek.com.x.test"}, "generic", None),
        ({"upstream": "http://127.0.0.1:11434/v1"}, "ollama", None),
        ({"upstream": "http://127.0.0.1:4321/v1"}, "generic", None),
        ({"upstream": "http://localhost:8000", "provider": "deepseek"}, "deepseek", None),
        ({"upstream": "https://api.deepseek.com", "provider": "generic"}, "generic", None),
        ({"provider": "deepseek"}, "deepseek", "https://api.deepseek.com/v1"),
    ],
)
def test_the_provider_and_its_place(settings: dict[str, str], name: str, url: str | None) -> None:
    options = {f"relay_{key}": value for key, value in settings.items()}
    provider, found = upstream.place(read(options, {}))
    assert provider.name == name
    assert found == (url or settings["upstream"])


@pytest.mark.parametrize("name", [name for name, one in KNOWN.items() if one.base_urls])
def test_every_provider_is_found_by_its_name_and_by_its_places(name: str) -> None:
    first, *others = KNOWN[name].base_urls
    assert upstream.place(read({"relay_provider": name}, {})) == (KNOWN[name], first)
    for url in (first, *others):
        assert upstream.recognised(url).name == name


@pytest.mark.parametrize("options", [{}, {"relay_provider": "demo"}, {"relay_api_key": "unused"}])
def test_without_an_upstream_the_demonstration_answers(options: dict[str, str]) -> None:
    async def run() -> None:
        async with relay(relay_upstream="", **options) as (port, chats, _):
            answer = await sent(port)
        assert answer.status == 200
        assert answer.headers["x-relay-provider"] == "demo"
        assert "CODEX_RELAY_UPSTREAM" in answer.body.decode()
        assert chats == []

    bounded(run)()


# The model

LIST = b'{"object": "list", "data": [{"id": "listed"}, {"id": "other"}]}'


@pytest.mark.parametrize(
    ("asked", "options", "goes"),
    [
        ("gpt-5.5", {}, "gpt-5.5"),
        ("gpt-5.5", {"model_map": "gpt-5.5:a,gpt-5.5:b"}, "a"),
        ("gpt-5.5", {"model_map": "gpt-5*:a,gpt-5.5:b"}, "a"),
        ("gpt-5.5", {"model_map": "gpt-5.5:b,gpt-5*:a"}, "b"),
        ("gpt-5.5-codex", {"model_map": "gpt-5.5:b,gpt-5*:a"}, "a"),
        ("gpt-5x5", {"model_map": "gpt-5.5:b"}, "gpt-5x5"),
        ("GPT-5.5", {"model_map": "gpt-*:a"}, "GPT-5.5"),
        ("any/thing", {"model_map": "*:vendor/a:free"}, "vendor/a:free"),
        ("listed", {"model": "m"}, "listed"),
        ("gpt-5.5", {"model": "m"}, "m"),
        ("listed", {"model": "m", "model_map": "listed:a"}, "a"),
        ("gpt-5.5", {"model": "m", "model_map": "listed:a"}, "m"),
    ],
)
def test_the_models_name_on_the_way_up(asked: str, options: dict[str, str], goes: str) -> None:
    async def run() -> None:
        chosen = {f"relay_{name}": value for name, value in options.items()}
        body = json.dumps({"model": asked, "input": "Hello."}).encode()
        async with relay(LIST, **chosen) as (port, chats, lists):
            answer = await sent(port, body=body)
        assert json.loads(chats[0].body)["model"] == goes
        assert json.loads(answer.body)["model"] == asked
        assert answer.headers["x-relay-model"] == goes
        assert len(lists) == (goes in ("m", "listed"))  # not asked for what it could not change

    bounded(run)()


@pytest.mark.parametrize("models", [None, b"<html>", b'{"data": []}'])
def test_where_nothing_is_listed_the_configured_model_is_used(models: bytes | None) -> None:
    async def run() -> None:
        async with relay(models, relay_model="m") as (port, chats, lists):
            for _ in range(2):
                assert (await sent(port)).status == 200
        assert [json.loads(call.body)["model"] for call in chats] == ["m", "m"]
        assert len(lists) == 1

    bounded(run)()


@bounded
async def test_a_list_out_of_reach() -> None:
    target = upstream.Target(KNOWN["generic"], "http://127.0.0.1:9/v1", None)
    async with proxy(Config(), relay_model="m"):
        assert (await selection.wanted(target, "gpt-5.5", chat=False)).model == "m"


# The headers


@pytest.mark.parametrize("tunnel", ["", "api.openai.com", "chatgpt.com"])
def test_no_header_of_the_client_crosses(tunnel: str) -> None:
    async def run() -> None:
        names = (
            "cookie", "chatgpt_account_id", "openai_organization", "openai_project", "openai_beta",
            "x_openai_subagent", "x_codex_turn_state", "x_codex_beta_features", "originator",
            "user_agent", "session_id", "conversation_id", "version", "x_stainless_os", "referer",
            "x_forwarded_for", "proxy_authorization", "accept_language", "x_request_id", "te",
            "if_none_match", "idempotency_key", "accept", "accept_encoding",
        )  # fmt: skip
        mine = {name: "codex-of-mine" for name in names}
        async with relay(b"{}", relay_model="m") as (port, chats, lists):
            assert (await sent(port, tunnel, **mine)).status == 200
        for call in (*chats, *lists):
            assert call.headers.keys() <= HEADERS
            assert call.headers["user-agent"] == USER_AGENT
            assert "of-mine" not in f"{call.headers}{call.body!r}{call.line}"
        assert chats[0].headers["accept-encoding"] == "identity"
        assert chats[0].headers["content-type"] == "application/json"

    bounded(run)()
