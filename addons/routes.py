"""Host, path and client → relay it, answer it, pass it on, refuse it. One table, one function."""

import re
from collections.abc import Mapping
from enum import StrEnum

from mitmproxy import http

from addons import config, transport


class Route(StrEnum):
    RELAY = "relay"  # to the provider, translated
    COMPACT = "compact"  # the same, for a summary of the conversation
    RETRIEVE = "retrieve"  # a kept response
    DELETE = "delete"
    ITEMS = "items"  # of its input
    CANCEL = "cancel"
    UPGRADE = "upgrade"  # to WebSocket: declined, so that the client uses RELAY
    MODELS = "models"
    ACCOUNT = "account"
    HEALTH = "health"
    INDEX = "index"
    DASHBOARD = "dashboard"  # its pages
    ISOLATED = "isolated"  # another call of Codex to OpenAI
    MISSING = "missing"  # no such path on our port
    METHOD = "method"  # the path, but not with this method
    PASS = "pass"  # noqa: S105 - to where the client sent it


OURS = None  # stands for our own port in the table
WEBSOCKET = "websocket"  # stands for the method of an upgrade

RESPONSES = {"POST": Route.RELAY, WEBSOCKET: Route.UPGRADE}
COMPACT = {"POST": Route.COMPACT}
KEPT = {"GET": Route.RETRIEVE, "DELETE": Route.DELETE}
ITEMS = {"GET": Route.ITEMS}
CANCEL = {"POST": Route.CANCEL}
MODELS = {"GET": Route.MODELS}
ACCOUNT = {"GET": Route.ACCOUNT}
DASHBOARD = {"GET": Route.DASHBOARD, "POST": Route.DASHBOARD}

TABLE: dict[str | None, dict[str, dict[str, Route]]] = {
    "api.openai.com": {
        "/v1/responses": RESPONSES,
        "/v1/responses/compact": COMPACT,
        "/v1/responses/{id}": KEPT,
        "/v1/responses/{id}/input_items": ITEMS,
        "/v1/responses/{id}/cancel": CANCEL,
        "/v1/models": MODELS,
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
        "/models": MODELS,
        "/v1/models": MODELS,
        "/backend-api/codex/models": MODELS,
        "/backend-api/wham/accounts/check": ACCOUNT,
    },
}
OPENAI = frozenset(host for host in TABLE if host)
ID = re.compile(r"(?<=/responses/)[^/?]+")
BELOW = re.compile(r"(?<=^/relay)/.*")
RELAYED = frozenset({Route.RELAY, Route.COMPACT})
STORED = frozenset({Route.RETRIEVE, Route.DELETE, Route.ITEMS, Route.CANCEL})

# On OpenAI's hosts these are taken over for every program, the other routes for Codex alone.
ANYBODY = STORED | {Route.RELAY, Route.COMPACT, Route.UPGRADE}


def decide(
    *, own: bool, host: str, method: str, path: str, headers: Mapping[str, str], isolate: bool
) -> Route:
    """The route of a request; `own`: it was addressed to our own port."""
    site = OURS if own else host.lower().rstrip(".")
    if site not in TABLE:
        return Route.PASS
    methods = methods_of(site, path)
    if "websocket" in headers.get("upgrade", "").lower():
        method = WEBSOCKET
    route = methods.get({"HEAD": "GET"}.get(method, method))
    if own:
        return route or (Route.METHOD if methods else Route.MISSING)
    if route in ANYBODY or (route and from_codex(headers)):
        return route
    return elsewhere(headers, isolate)


def elsewhere(headers: Mapping[str, str], isolate: bool) -> Route:
    """What is done with a call to OpenAI that is not ours to answer."""
    return Route.ISOLATED if isolate and from_codex(headers) else Route.PASS


def methods_of(site: str | None, path: str) -> Mapping[str, Route]:
    """What is done with this path, by method; nothing where it is not ours."""
    plain = path.partition("?")[0]
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
        ).value
    return Route(flow.metadata["relay.route"])


def give_back(flow: http.HTTPFlow) -> None:
    """The flow turned out to be none of ours."""
    isolate = config.settings().isolate
    flow.metadata["relay.route"] = elsewhere(flow.request.headers, isolate).value


def id_of(flow: http.HTTPFlow) -> str:
    """What stands for `{id}` in the path."""
    found = ID.search(flow.request.path)
    return found[0] if found else ""


class Routes:
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if not flow.response:
            route_of(flow)
