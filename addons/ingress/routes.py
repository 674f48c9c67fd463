"""What the relay does with a request, by host, path, method and client: one table, one function."""

import re
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import unquote

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.flow_data import is_own_port

ROUTE_KEY = "relay.route"  # in the metadata


class Route(StrEnum):
    RELAY = "relay"  # to the provider, translated
    COMPACT = "compact"  # the same, for a summary of the conversation
    CHAT = "chat"  # the same, for a client of Chat Completions
    RETRIEVE = "retrieve"  # a stored response
    DELETE = "delete"  # a stored response
    ITEMS = "items"  # the input of a stored response
    CANCEL = "cancel"  # a stored response
    INPUT_TOKENS = "input_tokens"  # the size of a request that is not sent
    UPGRADE = "upgrade"  # to WebSocket: declined, so that the client uses RELAY
    MODELS = "models"  # the list of models
    MODEL = "model"  # one model
    ACCOUNT = "account"  # Codex's account check
    HEALTH = "health"
    METRICS = "metrics"
    IDENTITY = "identity"  # the headers that the relay sends to each service
    ACCOUNTS = "accounts"  # the ChatGPT accounts that are logged in here
    LOGIN = "login"
    LOGOUT = "logout"
    SELECT = "select"  # the account to use
    IMPORT = "import"  # copies Codex's own login
    INDEX = "index"
    DASHBOARD = "dashboard"  # its pages
    ISOLATED = "isolated"  # any other call from Codex to OpenAI
    PREFLIGHT = "preflight"  # a browser asks whether a page may send a request
    MISSING = "missing"  # no such path on the relay's own port
    METHOD = "method"  # the path is there, but not for this method
    PASS = "pass"  # noqa: S105 - on to the host that the client named


OWN_SITE = None  # the key of the relay's own port in the table
WEBSOCKET_METHOD = "websocket"  # the key of an upgrade, instead of its method

PREFLIGHT_METHODS = {"OPTIONS": Route.PREFLIGHT}
RESPONSES_METHODS = {"POST": Route.RELAY, **PREFLIGHT_METHODS, WEBSOCKET_METHOD: Route.UPGRADE}
COMPACT_METHODS = {"POST": Route.COMPACT, **PREFLIGHT_METHODS}
CHAT_METHODS = {"POST": Route.CHAT, **PREFLIGHT_METHODS}
STORED_RESPONSE_METHODS = {"GET": Route.RETRIEVE, "DELETE": Route.DELETE}
INPUT_ITEMS_METHODS = {"GET": Route.ITEMS}
CANCEL_METHODS = {"POST": Route.CANCEL}
INPUT_TOKENS_METHODS = {"POST": Route.INPUT_TOKENS}
MODELS_METHODS = {"GET": Route.MODELS, **PREFLIGHT_METHODS}
MODEL_METHODS = {"GET": Route.MODEL, **PREFLIGHT_METHODS}
ACCOUNT_METHODS = {"GET": Route.ACCOUNT}
DASHBOARD_METHODS = {"GET": Route.DASHBOARD, "POST": Route.DASHBOARD}

ROUTES_BY_HOST: dict[str | None, dict[str, dict[str, Route]]] = {
    "api.openai.com": {
        "/v1/responses": RESPONSES_METHODS,
        "/v1/responses/compact": COMPACT_METHODS,
        "/v1/responses/input_tokens": INPUT_TOKENS_METHODS,
        "/v1/responses/{id}": STORED_RESPONSE_METHODS,
        "/v1/responses/{id}/input_items": INPUT_ITEMS_METHODS,
        "/v1/responses/{id}/cancel": CANCEL_METHODS,
        "/v1/chat/completions": CHAT_METHODS,
        "/v1/models": MODELS_METHODS,
        "/v1/models/{id}": MODEL_METHODS,
    },
    "chatgpt.com": {
        "/backend-api/codex/responses": RESPONSES_METHODS,
        "/backend-api/codex/responses/compact": COMPACT_METHODS,
        "/backend-api/codex/responses/input_tokens": INPUT_TOKENS_METHODS,
        "/backend-api/codex/models": MODELS_METHODS,
        "/backend-api/wham/accounts/check": ACCOUNT_METHODS,
    },
    OWN_SITE: {
        "/": {"GET": Route.INDEX},
        "/health": {"GET": Route.HEALTH},
        "/relay": DASHBOARD_METHODS,  # and all paths below it
        "/metrics": {"GET": Route.METRICS},
        "/debug/identity": {"GET": Route.IDENTITY},
        "/auth/accounts": {"GET": Route.ACCOUNTS},
        "/auth/login": {"GET": Route.LOGIN},
        "/auth/logout": {"POST": Route.LOGOUT},
        "/auth/select": {"POST": Route.SELECT},
        "/auth/import": {"POST": Route.IMPORT},
        "/responses": RESPONSES_METHODS,
        "/v1/responses": RESPONSES_METHODS,
        "/backend-api/codex/responses": RESPONSES_METHODS,
        "/responses/compact": COMPACT_METHODS,
        "/v1/responses/compact": COMPACT_METHODS,
        "/backend-api/codex/responses/compact": COMPACT_METHODS,
        "/responses/input_tokens": INPUT_TOKENS_METHODS,
        "/v1/responses/input_tokens": INPUT_TOKENS_METHODS,
        "/backend-api/codex/responses/input_tokens": INPUT_TOKENS_METHODS,
        "/responses/{id}": STORED_RESPONSE_METHODS,
        "/v1/responses/{id}": STORED_RESPONSE_METHODS,
        "/responses/{id}/input_items": INPUT_ITEMS_METHODS,
        "/v1/responses/{id}/input_items": INPUT_ITEMS_METHODS,
        "/responses/{id}/cancel": CANCEL_METHODS,
        "/v1/responses/{id}/cancel": CANCEL_METHODS,
        "/chat/completions": CHAT_METHODS,
        "/v1/chat/completions": CHAT_METHODS,
        "/models": MODELS_METHODS,
        "/v1/models": MODELS_METHODS,
        "/models/{id}": MODEL_METHODS,
        "/v1/models/{id}": MODEL_METHODS,
        "/backend-api/codex/models": MODELS_METHODS,
        "/backend-api/wham/accounts/check": ACCOUNT_METHODS,
    },
}
OPENAI_HOSTS = frozenset(host for host in ROUTES_BY_HOST if host)
# What `{id}` stands for; the name of a model may contain slashes.
PATH_ID = re.compile(r"(?<=/responses/)[^/?]+|(?<=/models/)[^?]+")
# Clients that join a base URL and a path may leave two slashes between them.
DOUBLE_SLASHES = re.compile("(?<!/)//+(?=v1/|chat/|models|responses)")
BELOW_DASHBOARD = re.compile(r"(?<=^/relay)/.*")
RELAYED_ROUTES = frozenset({Route.RELAY, Route.COMPACT, Route.CHAT})
STORED_ROUTES = frozenset({Route.RETRIEVE, Route.DELETE, Route.ITEMS, Route.CANCEL})

# On OpenAI's hosts the relay serves these to every program, all other routes to Codex alone.
ROUTES_OF_ALL_CLIENTS = STORED_ROUTES | {
    Route.RELAY,
    Route.COMPACT,
    Route.INPUT_TOKENS,
    Route.UPGRADE,
}
# With `relay_openai_chat` it serves these to every program as well.
OPENAI_CHAT_ROUTES = frozenset({Route.CHAT, Route.MODELS, Route.MODEL})


def decide_route(
    *,
    own_port: bool,
    host: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    isolate: bool,
    openai_chat: bool = False,
) -> Route:
    """The route of a request.

    `own_port`: the client sent it to the relay's own port; `isolate` and `openai_chat` are the
    settings of these names.
    """
    site = OWN_SITE if own_port else host.lower().rstrip(".")
    if site not in ROUTES_BY_HOST:
        return Route.PASS
    methods = path_methods(site, path)
    if "websocket" in headers.get("upgrade", "").lower():
        method = WEBSOCKET_METHOD
    route = methods.get("GET" if method == "HEAD" else method)
    if own_port:
        return route or (Route.METHOD if methods else Route.MISSING)
    open_routes = (
        ROUTES_OF_ALL_CLIENTS | OPENAI_CHAT_ROUTES if openai_chat else ROUTES_OF_ALL_CLIENTS
    )
    if route in open_routes or (route and is_codex_request(headers)):
        return route
    return route_for_openai(headers, isolate)


def route_for_openai(headers: Mapping[str, str], isolate: bool) -> Route:
    """The route of a request to OpenAI that the relay does not serve."""
    return Route.ISOLATED if isolate and is_codex_request(headers) else Route.PASS


def path_methods(site: str | None, path: str) -> Mapping[str, Route]:
    """The routes of this path by method; none if the relay does not serve the path."""
    path_routes, path = ROUTES_BY_HOST[site], DOUBLE_SLASHES.sub("/", path.partition("?")[0])
    path = path if path == "/" else path.rstrip("/")
    if path in path_routes:
        return path_routes[path]
    table_paths = PATH_ID.sub("{id}", path, 1), BELOW_DASHBOARD.sub("", path, 1)
    return next((path_routes[name] for name in table_paths if name in path_routes), {})


def is_codex_request(headers: Mapping[str, str]) -> bool:
    """Whether a Codex program sent the request: codex_exec, codex_cli_rs, codex-tui,
    codex-mcp-client, codex_vscode, "Codex Desktop" …

    Some calls name it in the user agent alone (`/wham/accounts/check` of Codex 0.169). A program
    that embeds Codex gives its own name, and Codex's headers."""
    names = headers.get("originator", ""), headers.get("user-agent", "")
    return any(name.lower().startswith("codex") for name in names) or any(
        name.lower().startswith("x-codex-") for name in headers
    )


def route_of(flow: HTTPFlow) -> Route:
    """The flow's route. It is decided once, as addons may change the request later."""
    try:
        return Route(flow.metadata[ROUTE_KEY])
    except (KeyError, ValueError):  # ValueError: of a file of flows that somebody has changed
        pass
    request, settings = flow.request, current_settings()
    route = decide_route(
        own_port=is_own_port(flow),
        host=request.host if request.host in OPENAI_HOSTS else request.pretty_host,
        method=request.method,
        path=request.path,
        headers=request.headers,
        isolate=settings.isolate,
        openai_chat=settings.openai_chat,
    )
    flow.metadata[ROUTE_KEY] = route.value
    return route


def is_codex(flow: HTTPFlow) -> bool:
    """Whether the client is Codex, which speaks Responses only: it gets statuses, events and
    headers that are for no other client."""
    return route_of(flow) is not Route.CHAT and is_codex_request(flow.request.headers)


def leave_to_openai(flow: HTTPFlow) -> None:
    """Give up the flow's route, as the relay cannot serve it after all."""
    isolate = current_settings().isolate
    flow.metadata[ROUTE_KEY] = route_for_openai(flow.request.headers, isolate).value


def path_id(flow: HTTPFlow) -> str:
    """What `{id}` stands for in the flow's path; "" if the path has none."""
    match = PATH_ID.search(DOUBLE_SLASHES.sub("/", flow.request.path))
    return unquote(match[0]).rstrip("/") if match else ""
