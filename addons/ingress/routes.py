"""Host, path and client → relay it, answer it, pass it on, refuse it. One table, one function."""

import re
from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import unquote

from mitmproxy import http

from addons.config import addon as config
from addons.transport import relay_stream as transport


class Route(StrEnum):
    RELAY = "relay"  # to the provider, translated
    COMPACT = "compact"  # the same, for a summary of the conversation
    CHAT = "chat"  # the same, for a client of Chat Completions
    RETRIEVE = "retrieve"  # a kept response
    DELETE = "delete"
    ITEMS = "items"  # of its input
    CANCEL = "cancel"
    UPGRADE = "upgrade"  # to WebSocket: declined, so that the client uses RELAY
    MODELS = "models"
    MODEL = "model"  # one of them
    ACCOUNT = "account"
    HEALTH = "health"
    METRICS = "metrics"
    IDENTITY = "identity"  # what the services that we ask are told of us
    ACCOUNTS = "accounts"  # those of ChatGPT that are logged in here
    LOGIN = "login"
    LOGOUT = "logout"
    SELECT = "select"  # the account that serves
    IMPORT = "import"  # of Codex's own login
    INDEX = "index"
    DASHBOARD = "dashboard"  # its pages
    ISOLATED = "isolated"  # another call of Codex to OpenAI
    PREFLIGHT = "preflight"  # a browser asks whether a page may ask
    MISSING = "missing"  # no such path on our port
    METHOD = "method"  # the path, but not with this method
    PASS = "pass"  # noqa: S105 - to where the client sent it


OURS = None  # stands for our own port in the table
WEBSOCKET = "websocket"  # stands for the method of an upgrade

PREFLIGHT = {"OPTIONS": Route.PREFLIGHT}
RESPONSES = {"POST": Route.RELAY, **PREFLIGHT, WEBSOCKET: Route.UPGRADE}
COMPACT = {"POST": Route.COMPACT, **PREFLIGHT}
CHAT = {"POST": Route.CHAT, **PREFLIGHT}
KEPT = {"GET": Route.RETRIEVE, "DELETE": Route.DELETE}
ITEMS = {"GET": Route.ITEMS}
CANCEL = {"POST": Route.CANCEL}
MODELS = {"GET": Route.MODELS, **PREFLIGHT}
MODEL = {"GET": Route.MODEL, **PREFLIGHT}
ACCOUNT = {"GET": Route.ACCOUNT}
DASHBOARD = {"GET": Route.DASHBOARD, "POST": Route.DASHBOARD}

TABLE: dict[str | None, dict[str, dict[str, Route]]] = {
    "api.openai.com": {
        "/v1/responses": RESPONSES,
        "/v1/responses/compact": COMPACT,
        "/v1/responses/{id}": KEPT,
        "/v1/responses/{id}/input_items": ITEMS,
        "/v1/responses/{id}/cancel": CANCEL,
        "/v1/chat/completions": CHAT,
        "/v1/models": MODELS,
        "/v1/models/{id}": MODEL,
    },
    "chatgpt.com": {
        "/backend-api/codex/responses": RESPONSES,
        "/backend-api/codex/responses/compact": COMPACT,
        "/backend-api/codex/models": MODELS,
        "/backend-api/wham/accounts/check": ACCOUNT,
    },
    OURS: {
        "/": {"GET": Route.INDEX},
        "/health": {"GET": Route.HEALTH},
        "/relay": DASHBOARD,  # and all below it
        "/metrics": {"GET": Route.METRICS},
        "/debug/identity": {"GET": Route.IDENTITY},
        "/auth/accounts": {"GET": Route.ACCOUNTS},
        "/auth/login": {"GET": Route.LOGIN},
        "/auth/logout": {"POST": Route.LOGOUT},
        "/auth/select": {"POST": Route.SELECT},
        "/auth/import": {"POST": Route.IMPORT},
        "/responses": RESPONSES,
        "/v1/responses": RESPONSES,
        "/backend-api/codex/responses": RESPONSES,
        "/responses/compact": COMPACT,
        "/v1/responses/compact": COMPACT,
        "/backend-api/codex/responses/compact": COMPACT,
        "/responses/{id}": KEPT,
        "/v1/responses/{id}": KEPT,
        "/responses/{id}/input_items": ITEMS,
        "/v1/responses/{id}/input_items": ITEMS,
        "/responses/{id}/cancel": CANCEL,
        "/v1/responses/{id}/cancel": CANCEL,
        "/chat/completions": CHAT,
        "/v1/chat/completions": CHAT,
        "/models": MODELS,
        "/v1/models": MODELS,
        "/models/{id}": MODEL,
        "/v1/models/{id}": MODEL,
        "/backend-api/codex/models": MODELS,
        "/backend-api/wham/accounts/check": ACCOUNT,
    },
}
OPENAI = frozenset(host for host in TABLE if host)
# What stands for `{id}`; a model's may have slashes in it.
ID = re.compile(r"(?<=/responses/)[^/?]+|(?<=/models/)[^?]+")
SLASHES = re.compile("//+(?=v1/|chat/|models|responses)")  # base URL and path both have one
BELOW = re.compile(r"(?<=^/relay)/.*")
RELAYED = frozenset({Route.RELAY, Route.COMPACT, Route.CHAT})
STORED = frozenset({Route.RETRIEVE, Route.DELETE, Route.ITEMS, Route.CANCEL})

# On OpenAI's hosts these are taken over for every program, the other routes for Codex alone.
ANYBODY = STORED | {Route.RELAY, Route.COMPACT, Route.UPGRADE}
OPTED = frozenset({Route.CHAT, Route.MODELS, Route.MODEL})  # these, where the user wants that


def decide(
    *,
    own: bool,
    host: str,
    method: str,
    path: str,
    headers: Mapping[str, str],
    isolate: bool,
    chat: bool = False,
) -> Route:
    """The route of a request; `own`: it was addressed to our own port; `chat`: Chat requests to
    OpenAI are taken over, and what belongs to them."""
    site = OURS if own else host.lower().rstrip(".")
    if site not in TABLE:
        return Route.PASS
    methods = methods_of(site, path)
    if "websocket" in headers.get("upgrade", "").lower():
        method = WEBSOCKET
    route = methods.get({"HEAD": "GET"}.get(method, method))
    if own:
        return route or (Route.METHOD if methods else Route.MISSING)
    taken = ANYBODY | OPTED if chat else ANYBODY
    if route in taken or (route and from_codex(headers)):
        return route
    return elsewhere(headers, isolate)


def elsewhere(headers: Mapping[str, str], isolate: bool) -> Route:
    """What is done with a call to OpenAI that is not ours to answer."""
    return Route.ISOLATED if isolate and from_codex(headers) else Route.PASS


def methods_of(site: str | None, path: str) -> Mapping[str, Route]:
    """What is done with this path, by method; nothing where it is not ours."""
    plain = SLASHES.sub("/", path.partition("?")[0])
    plain = plain if plain == "/" else plain.rstrip("/")
    names = plain, ID.sub("{id}", plain, 1), BELOW.sub("", plain, 1)
    return next((TABLE[site][name] for name in names if name in TABLE[site]), {})


def from_codex(headers: Mapping[str, str]) -> bool:
    """codex_exec, codex_cli_rs, codex-tui, codex-mcp-client, codex_vscode, "Codex Desktop" …

    Some calls carry the user agent alone (`/wham/accounts/check` of 0.169)."""
    names = headers.get("originator", ""), headers.get("user-agent", "")
    return any(name.lower().startswith("codex") for name in names)


def route_of(flow: http.HTTPFlow) -> Route:
    """The route, decided once: later the request may be another."""
    if "relay.route" not in flow.metadata:
        request = flow.request
        flow.metadata["relay.route"] = decide(
            own=transport.own(flow),
            host=request.host if request.host in OPENAI else request.pretty_host,
            method=request.method,
            path=request.path,
            headers=request.headers,
            isolate=config.settings().isolate,
            chat=config.settings().openai_chat,
        ).value
    return Route(flow.metadata["relay.route"])


def give_back(flow: http.HTTPFlow) -> None:
    """The flow turned out to be none of ours."""
    isolate = config.settings().isolate
    flow.metadata["relay.route"] = elsewhere(flow.request.headers, isolate).value


def id_of(flow: http.HTTPFlow) -> str:
    """What stands for `{id}` in the path."""
    found = ID.search(SLASHES.sub("/", flow.request.path))
    return unquote(found[0]).rstrip("/") if found else ""


class Routes:
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if not flow.response:
            route_of(flow)
