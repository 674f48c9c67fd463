"""Which provider a URL belongs to, which key goes there, and in which headers."""

from typing import Any

import pytest
from mitmproxy.test import tflow

from addons.config import addon as config
from addons.config.addon import Config
from addons.config.config_file import builtin_providers, read_settings
from addons.flow_data import OWN_PORT
from addons.identity import USER_AGENT
from addons.routing.target import (
    Target,
    credential_headers,
    default_provider,
    is_target_ready,
    recognise_provider,
    request_target,
    serves_url,
    target_with_key,
    url_host,
)
from tests.addons.proxy import Call, bounded, proxy
from tests.addons.routing.one_provider import one_provider_relay, send_request
from tests.codex.driver import ACCOUNT, unsigned_token
from tests.strict_chat import HEADERS

PROVIDERS = builtin_providers()
HOSTLESS = {"generic", "responses", "demo"}

# Keys

AUTH_CLAIM = "https://api.openai.com/auth"
OPENAI_KEYS = {
    "project": "sk-proj-abc123",
    "service account": "sk-svcacct-abc123",
    "admin": "sk-admin-abc123",
    "oldest form": "sk-abcdefghijklmnopqrstT3BlbkFJabcdefghijklmnopqrst",
    "ChatGPT": unsigned_token({AUTH_CLAIM: {"chatgpt_account_id": ACCOUNT}}),
    "session": "sess-abc123",
    "profile of the login": unsigned_token(
        {"https://api.openai.com/profile": {"email": "me@example.com"}}
    ),
    "issuer of the login": unsigned_token({"iss": "https://auth.openai.com", "sub": "me"}),
    "ChatGPT without an account": unsigned_token({AUTH_CLAIM: {"user_id": "user-x"}}),
}
MANGLED_KEYS = {
    "quoted": '"sk-proj-abc123"',
    "second of two": "aaa, Bearer sk-proj-abc123",
    "scheme twice": "Bearer sk-proj-abc123",
    "after a no-break space": "\u00a0sk-proj-abc123",
}
PROVIDER_KEYS = {
    "usual": "sk-abc123",
    "no prefix": "0123456789abcdef.XyZ",
    "JWT": unsigned_token({"sub": "me", "aud": "https://api.minimax.io"}),
    "JWT of an account": unsigned_token({"chatgpt_account_id": ACCOUNT}),
    "almost a JWT": "a.!!!.c",
    "like OpenAI's": "sk-project-abc",
}


def key_of(call: Call) -> str | None:
    return call.headers.get("authorization", "").removeprefix("Bearer ") or None


def bearer_header(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("token", PROVIDER_KEYS.values(), ids=PROVIDER_KEYS)
def test_client_may_send_the_providers_key(token: str) -> None:
    async def run() -> None:
        async with one_provider_relay() as relay:
            for scheme in ("Bearer", "bearer", "BEARER "):
                answer = await send_request(relay.port, authorization=f"{scheme} {token}")
                assert answer.status == 200
        assert [key_of(call) for call in relay.chats] == [token] * 3

    bounded(run)()


@pytest.mark.parametrize(
    "token",
    [*OPENAI_KEYS.values(), *MANGLED_KEYS.values()],
    ids=[*OPENAI_KEYS, *MANGLED_KEYS],
)
@pytest.mark.parametrize("tunnel", ["", "api.openai.com"])
def test_openai_keys_never_reach_another_provider(tunnel: str, token: str) -> None:
    async def run() -> None:
        async with one_provider_relay(b"{}", relay_model="m") as relay:
            answer = await send_request(relay.port, tunnel, **bearer_header(token))
            assert answer.status == 200
        for call in [*relay.chats, *relay.lists]:
            assert "authorization" not in call.headers
            assert token not in f"{call.headers}{call.body!r}{call.request_line}"
        assert (len(relay.chats), len(relay.lists)) == (1, 1)

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
        {**bearer_header("sk-abc"), "chatgpt_account_id": ACCOUNT},
    ],
)
def test_request_without_a_usable_key_goes_up_without_one(headers: dict[str, str]) -> None:
    async def run() -> None:
        async with one_provider_relay() as relay:
            assert (await send_request(relay.port, **headers)).status == 200
        assert key_of(relay.chats[0]) is None

    bounded(run)()


@bounded
async def test_key_of_a_proxied_request_was_meant_for_openai() -> None:
    async with one_provider_relay() as relay:
        answer = await send_request(relay.port, "api.openai.com", **bearer_header("sk-abc"))
        assert answer.status == 200
    assert key_of(relay.chats[0]) is None


@bounded
async def test_client_key_of_the_relay_does_not_go_up() -> None:
    async with one_provider_relay(relay_client_key="ours") as relay:
        assert (await send_request(relay.port, **bearer_header("sk-abc"))).status == 401
        assert (await send_request(relay.port, **bearer_header("ours"))).status == 200
    [call] = relay.chats
    assert key_of(call) is None


@pytest.mark.parametrize("tunnel", ["", "api.openai.com"])
@pytest.mark.parametrize("token", ["sk-abc", "sk-proj-abc"])
def test_configured_key_replaces_the_clients(token: str, tunnel: str) -> None:
    async def run() -> None:
        options = {"relay_api_key": "mine", "relay_model": "m"}
        async with one_provider_relay(b"{}", **options) as relay:
            answer = await send_request(relay.port, tunnel, **bearer_header(token))
            assert answer.status == 200
        assert key_of(relay.chats[0]) == key_of(relay.lists[0]) == "mine"

    bounded(run)()


@pytest.mark.parametrize(
    ("url", "is_openai"),
    [
        ("https://api.openai.com/v1", True),
        ("https://API.OpenAI.com:443/v1", True),
        ("https://api.openai.com.evil.test/v1", False),
        ("https://evil.test/api.openai.com", False),
        ("https://openai.com/v1", False),
        ("http://127.0.0.1:1/v1", False),
    ],
)
def test_openai_keys_go_to_openai_only(url: str, is_openai: bool) -> None:
    async def run() -> None:
        flow = tflow.tflow()
        flow.metadata[OWN_PORT] = True
        async with proxy(Config(), relay_upstream=url):
            for token in OPENAI_KEYS.values():
                flow.request.headers["authorization"] = f"Bearer {token}"
                target = request_target(flow)
                assert target.key == (token if is_openai else None)
                assert token not in repr(target)

    bounded(run)()


def environment_key(name: str, url: str) -> str | None:
    """The key that the environment has for this provider at this URL."""
    return target_with_key(PROVIDERS[name], url, takes_api_key=False).key


def test_provider_key_is_the_first_variable_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://api.moonshot.cn/v1"
    for name in PROVIDERS["kimi"].key_env:
        monkeypatch.delenv(name, raising=False)
    assert environment_key("kimi", url) is None
    monkeypatch.setenv("KIMI_API_KEY", " sk-second ")
    assert environment_key("kimi", url) == "sk-second"
    monkeypatch.setenv("MOONSHOT_API_KEY", "sk-first")
    assert environment_key("kimi", url) == "sk-first"


def test_provider_key_never_goes_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-mine")
    assert environment_key("deepseek", "https://gateway.example/v1") is None
    assert not serves_url(PROVIDERS["openai"], "https://api.deepseek.com/v1")


def test_variable_that_fits_no_header_is_logged_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "two words")
    assert config.key_from_environment("GROQ_API_KEY") is None
    assert "GROQ_API_KEY has characters" in caplog.text
    assert "two words" not in caplog.text


def test_key_goes_into_the_providers_own_header() -> None:
    groq = credential_headers(Target(PROVIDERS["groq"], "https://h/v1", "sk-1"))
    azure = credential_headers(Target(PROVIDERS["azure"], "https://h/v1", "sk-1"))
    assert groq["authorization"] == "Bearer sk-1"
    assert azure["api-key"] == "sk-1" and "authorization" not in azure
    assert "authorization" not in credential_headers(Target(PROVIDERS["groq"], "https://h/v1"))


# Providers


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.deepseek.com/beta", "deepseek"),
        ("https://mine.openai.azure.com/openai/v1", "azure"),
        ("https://dashscope-us.aliyuncs.com/compatible-mode/v1", "qwen"),
        ("http://127.0.0.1:11434/v1", "ollama"),
        ("http://[::1]:1234/v1", "lmstudio"),
        ("http://localhost:4321/v1", "generic"),
        ("http://192.168.1.5:11434/v1", "generic"),
        ("https://api.deepseek.com.evil.example/v1", "generic"),
        ("https://openai.azure.com.evil.example/v1", "generic"),
    ],
)
def test_provider_is_recognised_by_the_host(url: str, name: str) -> None:
    assert recognise_provider(url).name == name


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
def test_settings_name_the_provider_or_its_url(
    settings: dict[str, str], name: str, url: str | None
) -> None:
    options = {f"relay_{key}": value for key, value in settings.items()}
    provider, provider_url = default_provider(read_settings(options, {}))
    assert provider.name == name
    assert provider_url == (url or settings["upstream"])


@pytest.mark.parametrize(
    "name", [name for name, provider in PROVIDERS.items() if provider.base_urls]
)
def test_every_provider_is_found_by_its_name_and_by_its_urls(name: str) -> None:
    first, *others = PROVIDERS[name].base_urls
    settings = read_settings({"relay_provider": name}, {})
    assert default_provider(settings) == (PROVIDERS[name], first)
    for url in (first, *others):
        assert recognise_provider(url).name == name


def test_every_other_provider_has_urls_or_hosts() -> None:
    hostless = {
        name
        for name, provider in PROVIDERS.items()
        if not provider.base_urls and not provider.hosts
    }
    assert hostless <= HOSTLESS


@pytest.mark.parametrize("options", [{}, {"relay_provider": "demo"}, {"relay_api_key": "unused"}])
def test_demonstration_answers_without_an_upstream(options: dict[str, str]) -> None:
    async def run() -> None:
        async with one_provider_relay(relay_upstream="", **options) as relay:
            answer = await send_request(relay.port)
        assert answer.status == 200
        assert answer.headers["x-relay-provider"] == "demo"
        assert "CODEX_RELAY_UPSTREAM" in answer.body.decode()
        assert relay.chats == []

    bounded(run)()


def test_loopback_names_are_one_host() -> None:
    assert len({url_host(f"http://{host}:1/") for host in ("localhost", "127.0.0.1")}) == 1


@pytest.mark.parametrize(
    ("url", "key", "is_ready"),
    [
        ("https://api.deepseek.com/v1", None, False),
        ("https://api.deepseek.com/v1", "sk-1", True),
        ("http://[::1]:8000/v1", None, True),
        ("https://localhost.example/v1", None, False),
    ],
)
def test_only_a_provider_on_this_machine_may_need_no_key(
    url: str, key: str | None, is_ready: bool
) -> None:
    assert is_target_ready(Target(PROVIDERS["deepseek"], url, key)) is is_ready


# Headers


@pytest.mark.parametrize("tunnel", ["", "api.openai.com", "chatgpt.com"])
def test_no_header_of_the_client_goes_up(tunnel: str) -> None:
    names = (
        "cookie", "chatgpt_account_id", "openai_organization", "openai_project", "openai_beta",
        "x_openai_subagent", "x_codex_turn_state", "x_codex_beta_features", "originator",
        "user_agent", "session_id", "conversation_id", "version", "x_stainless_os", "referer",
        "x_forwarded_for", "proxy_authorization", "accept_language", "x_request_id", "te",
        "if_none_match", "idempotency_key", "accept", "accept_encoding",
    )  # fmt: skip
    client_headers: dict[str, Any] = {name: "codex-of-mine" for name in names}

    async def run() -> None:
        async with one_provider_relay(b"{}", relay_model="m") as relay:
            assert (await send_request(relay.port, tunnel, **client_headers)).status == 200
        for call in (*relay.chats, *relay.lists):
            assert call.headers.keys() <= HEADERS
            assert call.headers["user-agent"] == USER_AGENT
            assert "of-mine" not in f"{call.headers}{call.body!r}{call.request_line}"
        assert relay.chats[0].headers["accept-encoding"] == "identity"
        assert relay.chats[0].headers["content-type"] == "application/json"

    bounded(run)()
