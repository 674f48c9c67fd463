"""The route of each request, by host, path, method and client."""

import pytest
from mitmproxy.http import Headers
from mitmproxy.test import tflow

from addons.ingress.routes import (
    OPENAI_HOSTS,
    OWN_SITE,
    ROUTE_KEY,
    ROUTES_BY_HOST,
    Route,
    decide_route,
    is_codex,
    is_codex_request,
)

CODEX_HEADERS = {
    "originator": "codex_exec",
    "user-agent": "codex_exec/0.169.0 (Debian 12.0.0; x86_64)",
}
OTHER_HEADERS = {"user-agent": "OpenAI/Python 3.0.0"}
WEBSOCKET_HEADERS = {"upgrade": "websocket", "connection": "Upgrade"}


def route_for(
    host: str,
    call: str,
    headers: dict[str, str] = OTHER_HEADERS,
    *,
    own_port: bool = False,
    isolate: bool = True,
    openai_chat: bool = False,
) -> Route:
    method, path = call.split(" ", 1)
    return decide_route(
        own_port=own_port,
        host=host,
        method=method,
        path=path,
        headers=Headers([(name.encode(), value.encode()) for name, value in headers.items()]),
        isolate=isolate,
        openai_chat=openai_chat,
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
        ("POST /v1/responses/input_tokens", Route.INPUT_TOKENS),
        ("POST /backend-api/codex/responses/input_tokens", Route.INPUT_TOKENS),
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
def test_every_call_to_the_own_port_has_a_route(call: str, route: Route) -> None:
    assert route_for("127.0.0.1", call, own_port=True) is route
    assert route_for("whatever.example", call, own_port=True, isolate=False) is route


@pytest.mark.parametrize("headers", [CODEX_HEADERS, OTHER_HEADERS])
@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.openai.com", "/v1/responses"),
        ("API.OpenAI.com.", "/v1/responses"),
        ("chatgpt.com", "/backend-api/codex/responses"),
    ],
)
def test_responses_are_relayed_for_all_programs(
    host: str, path: str, headers: dict[str, str]
) -> None:
    assert route_for(host, f"POST {path}", headers) is Route.RELAY
    assert route_for(host, f"POST {path}/compact", headers) is Route.COMPACT
    assert route_for(host, f"GET {path}", {**headers, **WEBSOCKET_HEADERS}) is Route.UPGRADE


@pytest.mark.parametrize(
    ("call", "route"),
    [
        ("POST /v1/chat/completions", Route.CHAT),
        ("GET /v1/models", Route.MODELS),
        ("GET /v1/models/gpt-5.5", Route.MODEL),
        ("POST /v1/embeddings", Route.PASS),
    ],
)
def test_openai_chat_routes_need_the_setting(call: str, route: Route) -> None:
    assert route_for("api.openai.com", call) is Route.PASS
    assert route_for("api.openai.com", call, openai_chat=True) is route


@pytest.mark.parametrize("headers", [CODEX_HEADERS, OTHER_HEADERS])
def test_stored_responses_are_served_to_all_programs(headers: dict[str, str]) -> None:
    assert route_for("api.openai.com", "GET /v1/responses/resp_1", headers) is Route.RETRIEVE
    assert route_for("api.openai.com", "POST /v1/responses/resp_1/cancel", headers) is Route.CANCEL
    assert route_for("chatgpt.com", "GET /v1/responses/resp_1", OTHER_HEADERS) is Route.PASS


@pytest.mark.parametrize(
    ("host", "call", "route"),
    [
        ("chatgpt.com", "GET /backend-api/codex/models?client_version=0.169.0", Route.MODELS),
        ("api.openai.com", "GET /v1/models", Route.MODELS),
        ("chatgpt.com", "GET /backend-api/wham/accounts/check", Route.ACCOUNT),
    ],
)
def test_other_routes_are_for_codex_alone(host: str, call: str, route: Route) -> None:
    assert route_for(host, call, CODEX_HEADERS) is route
    assert route_for(host, call, CODEX_HEADERS, isolate=False) is route
    assert route_for(host, call, OTHER_HEADERS) is Route.PASS


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
    assert route_for(host, call, CODEX_HEADERS) is Route.ISOLATED
    assert route_for(host, call, CODEX_HEADERS, isolate=False) is Route.PASS
    assert route_for(host, call, OTHER_HEADERS) is Route.PASS


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
def test_codex_is_recognised_by_its_names(headers: dict[str, str]) -> None:
    assert route_for("chatgpt.com", "GET /anything", headers) is Route.ISOLATED


@pytest.mark.parametrize("headers", [{}, {"originator": "notcodex"}, {"user-agent": "Mozilla/5.0"}])
def test_other_names_are_not_codex(headers: dict[str, str]) -> None:
    assert route_for("chatgpt.com", "GET /anything", headers) is Route.PASS


@pytest.mark.parametrize("host", ["example.com", "auth.openai.com", "xchatgpt.com", ""])
def test_requests_to_other_hosts_pass(host: str) -> None:
    for path in ("/v1/responses", "/backend-api/codex/responses"):
        assert route_for(host, f"POST {path}", CODEX_HEADERS) is Route.PASS


def test_openai_hosts_are_those_of_the_table() -> None:
    assert {"api.openai.com", "chatgpt.com"} == OPENAI_HOSTS == set(ROUTES_BY_HOST) - {OWN_SITE}


@pytest.mark.parametrize(
    ("route", "headers", "expected"),
    [
        (Route.RELAY, CODEX_HEADERS, True),
        (Route.CHAT, CODEX_HEADERS, False),
        (Route.RELAY, OTHER_HEADERS, False),
    ],
)
def test_codex_is_recognised_on_its_own_routes_only(
    route: Route, headers: dict[str, str], expected: bool
) -> None:
    flow = tflow.tflow()
    flow.metadata[ROUTE_KEY] = route.value
    flow.request.headers.update(headers)
    assert is_codex(flow) is expected


def test_program_that_embeds_codex_counts_as_codex() -> None:
    assert is_codex_request({"originator": "JetBrains", "X-Codex-Window-Id": "a:0"})
    assert not is_codex_request({"originator": "JetBrains", "x-request-id": "codex"})
