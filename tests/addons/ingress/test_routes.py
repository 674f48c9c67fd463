import pytest
from mitmproxy.http import Headers

from addons.ingress.routes import OPENAI, OURS, TABLE, Route, decide

CODEX = {"originator": "codex_exec", "user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64)"}
OTHER = {"user-agent": "OpenAI/Python 3.0.0"}
SOCKET = {"upgrade": "websocket", "connection": "Upgrade"}


def to(
    host: str,
    call: str,
    headers: dict[str, str] = OTHER,
    *,
    own: bool = False,
    isolate: bool = True,
    chat: bool = False,
) -> Route:
    method, path = call.split(" ", 1)
    return decide(
        own=own,
        host=host,
        method=method,
        path=path,
        headers=Headers([(k.encode(), v.encode()) for k, v in headers.items()]),
        isolate=isolate,
        chat=chat,
    )


@pytest.mark.parametrize(
    ("call", "route"),
    [
        ("POST /v1/responses", Route.RELAY),
        ("POST /responses", Route.RELAY),
        ("POST /responses/", Route.RELAY),
        ("POST /v1/responses?a=b", Route.RELAY),
        ("POST /backend-api/codex/responses", Route.RELAY),
        ("GET /models", Route.MODELS),
        ("GET /v1/models?client_version=0.169.0", Route.MODELS),
        ("GET /backend-api/codex/models", Route.MODELS),
        ("GET /backend-api/wham/accounts/check", Route.ACCOUNT),
        ("GET /health", Route.HEALTH),
        ("HEAD /health", Route.HEALTH),
        ("GET /", Route.INDEX),
        ("GET /?x", Route.INDEX),
        ("GET /responses", Route.METHOD),
        ("PUT /v1/models", Route.METHOD),
        ("POST /v1/responses/cancel", Route.METHOD),
        ("GET /v1/responses/resp_1", Route.RETRIEVE),
        ("GET /responses/resp_1/?stream=true", Route.RETRIEVE),
        ("DELETE /v1/responses/resp_1", Route.DELETE),
        ("GET /responses/resp_1/input_items?limit=2", Route.ITEMS),
        ("POST /v1/responses/resp_1/cancel", Route.CANCEL),
        ("GET /v1/responses/resp_1/cancel", Route.METHOD),
        ("GET /v1/responses/resp_1/other", Route.MISSING),
        ("GET /v1/responses/resp_1/responses/input_items", Route.MISSING),
        ("DELETE /v1/responses/compact", Route.METHOD),
        ("POST /v1/responses/compact", Route.COMPACT),
        ("POST /responses/compact", Route.COMPACT),
        ("POST /backend-api/codex/responses/compact/", Route.COMPACT),
        ("GET /v1/responses/compact", Route.METHOD),
        ("POST /v1/chat/completions", Route.CHAT),
        ("GET /v1/models/gpt-5.5", Route.MODEL),
        ("GET /v1/models/openai/gpt-oss-120b", Route.MODEL),
        ("GET /models/gpt-5.5", Route.MODEL),
        ("POST //v1/chat/completions", Route.CHAT),
        ("POST /v1//chat/completions", Route.CHAT),
        ("OPTIONS *", Route.MISSING),
        ("GET //health", Route.MISSING),
        ("GET //", Route.MISSING),
        ("GET ", Route.MISSING),
    ],
)
def test_on_our_own_port_every_call_has_an_answer(call: str, route: Route) -> None:
    assert to("127.0.0.1", call, own=True) is route
    assert to("whatever.example", call, own=True, isolate=False) is route


@pytest.mark.parametrize("headers", [CODEX, OTHER])
@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.openai.com", "/v1/responses"),
        ("API.OpenAI.com.", "/v1/responses"),
        ("chatgpt.com", "/backend-api/codex/responses"),
    ],
)
def test_responses_of_every_program_are_relayed(
    host: str, path: str, headers: dict[str, str]
) -> None:
    assert to(host, f"POST {path}", headers) is Route.RELAY
    assert to(host, f"POST {path}/compact", headers) is Route.COMPACT
    assert to(host, f"GET {path}", {**headers, **SOCKET}) is Route.UPGRADE


@pytest.mark.parametrize(
    ("call", "route"),
    [
        ("POST /v1/chat/completions", Route.CHAT),
        ("GET /v1/models", Route.MODELS),
        ("GET /v1/models/gpt-5.5", Route.MODEL),
        ("POST /v1/embeddings", Route.PASS),
    ],
)
def test_chat_of_other_programs_is_taken_over_where_that_is_wanted(call: str, route: Route) -> None:
    assert to("api.openai.com", call) is Route.PASS
    assert to("api.openai.com", call, chat=True) is route


@pytest.mark.parametrize("headers", [CODEX, OTHER])
def test_responses_by_id_are_looked_up_for_every_program(headers: dict[str, str]) -> None:
    assert to("api.openai.com", "GET /v1/responses/resp_1", headers) is Route.RETRIEVE
    assert to("api.openai.com", "POST /v1/responses/resp_1/cancel", headers) is Route.CANCEL
    assert to("chatgpt.com", "GET /v1/responses/resp_1", OTHER) is Route.PASS


@pytest.mark.parametrize(
    ("host", "call", "route"),
    [
        ("chatgpt.com", "GET /backend-api/codex/models?client_version=0.169.0", Route.MODELS),
        ("api.openai.com", "GET /v1/models", Route.MODELS),
        ("chatgpt.com", "GET /backend-api/wham/accounts/check", Route.ACCOUNT),
    ],
)
def test_side_calls_are_answered_for_codex_alone(host: str, call: str, route: Route) -> None:
    assert to(host, call, CODEX) is route
    assert to(host, call, CODEX, isolate=False) is route
    assert to(host, call, OTHER) is Route.PASS


@pytest.mark.parametrize(
    ("host", "call"),
    [
        ("chatgpt.com", "POST /backend-api/codex/analytics-events/events"),
        ("chatgpt.com", "POST /backend-api/ps/mcp"),
        ("chatgpt.com", "POST /v1/responses"),
        ("chatgpt.com", "GET /backend-api/codex/responses"),
        ("api.openai.com", "POST /v1/responses/cancel"),
        ("chatgpt.com", "GET /backend-api/codex/responses/compact"),
        ("api.openai.com", "GET /"),
    ],
)
def test_other_calls_of_codex_are_isolated(host: str, call: str) -> None:
    assert to(host, call, CODEX) is Route.ISOLATED
    assert to(host, call, CODEX, isolate=False) is Route.PASS
    assert to(host, call, OTHER) is Route.PASS


@pytest.mark.parametrize(
    "headers",
    [
        {"originator": "codex_exec"},
        {"originator": "codex_cli_rs"},
        {"originator": "codex_vscode"},
        {"originator": "codex-tui"},
        {"originator": "Codex Desktop"},
        {"user-agent": "codex_exec/0.169.0"},  # accounts/check has nothing else
        {"user-agent": "codex-mcp-client/0.169.0"},
        {"originator": "my_app", "user-agent": "Codex Desktop/1.2"},
    ],
)
def test_codex_is_known_by_its_names(headers: dict[str, str]) -> None:
    assert to("chatgpt.com", "GET /anything", headers) is Route.ISOLATED


@pytest.mark.parametrize("headers", [{}, {"originator": "notcodex"}, {"user-agent": "Mozilla/5.0"}])
def test_others_are_not_codex(headers: dict[str, str]) -> None:
    assert to("chatgpt.com", "GET /anything", headers) is Route.PASS


@pytest.mark.parametrize("host", ["example.com", "auth.openai.com", "xchatgpt.com", ""])
def test_other_hosts_are_none_of_our_business(host: str) -> None:
    for path in ("/v1/responses", "/backend-api/codex/responses"):
        assert to(host, f"POST {path}", CODEX) is Route.PASS


def test_the_hosts_are_openais_two() -> None:
    assert {"api.openai.com", "chatgpt.com"} == OPENAI == set(TABLE) - {OURS}
