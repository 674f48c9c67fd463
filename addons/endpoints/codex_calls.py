"""Answers to the calls beside the exchange: Codex's account check, what is isolated from OpenAI,
and the small pages of our own port."""

import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy.http import HTTPFlow

from addons import flow_data as hidden
from addons.accounts import claims
from addons.config import addon as config
from addons.identity import MARK, VERSION
from addons.ingress import client_keys as keys
from addons.ingress.local_reply import answer, answer_json, refuse
from addons.ingress.routes import OURS, TABLE, WEBSOCKET, Route, methods_of, route_of
from addons.routing import target as upstream

STARTED = time.monotonic()

ABOUT = """\
codex-relay {version}, upstream: {title}. A page of it all: http://{host}/relay/

Codex, proxy:  HTTPS_PROXY=http://{host} and CODEX_CA_CERTIFICATE=~/.mitmproxy/mitmproxy-ca-cert.pem
Codex, URL:    base_url = "http://{host}/v1" in a provider's table of ~/.codex/config.toml
Other clients: http://{host}/v1 is a base URL of Chat Completions and of the Responses API
ChatGPT login: http://{host}/auth/login

Here are: {paths}
"""


class Codex:
    async def request(self, flow: HTTPFlow) -> None:
        if flow.live and not flow.response and (reply := ANSWERS.get(route_of(flow))):
            await reply(flow)


async def account(flow: HTTPFlow) -> None:
    """Codex asks where its workspace lives, and does not begin without an answer."""
    named = hidden.sent(flow, "chatgpt-account-id")
    found = claims.chatgpt_account(keys.bearer(flow)) or (named[0] if named else None)
    if not found:
        refuse(flow, 404, "There is no ChatGPT account in this request.")
        return
    shown = accounts(hidden.MASK) if config.settings().redact else None
    answer_json(flow, accounts(found), shown)


def accounts(id: str) -> dict[str, Any]:
    place = {"workspace_backend_origin": "https://chatgpt.com"}
    entry = {"id": id, **place, "account_routing_override": "NO_CONSTRAINT"}
    return {"accounts": [entry], "account_ordering": [id], "default_account_id": id}


async def upgrade(flow: HTTPFlow) -> None:
    """At this status, and no other, Codex changes to POST at once and says nothing (0.169)."""
    refuse(flow, 426, "WebSockets are not served; use POST.", "websocket_not_supported")


async def isolated(flow: HTTPFlow) -> None:
    refuse(flow, 404, "codex-relay keeps this call at home; relay_isolate=off lets it go.")


async def health(flow: HTTPFlow) -> None:
    to = upstream.source(flow)
    facts = {"status": "ok", "version": VERSION, "provider": to.provider.name, "upstream": to.url}
    mark = {"mark": os.environ[MARK]} if MARK in os.environ else {}
    answer_json(flow, {**facts, **mark, "uptime": round(time.monotonic() - STARTED, 1)})


async def index(flow: HTTPFlow) -> None:
    provider = upstream.source(flow).provider
    host = flow.request.host_header or f"127.0.0.1:{flow.client_conn.sockname[1]}"
    page = ABOUT.format(version=VERSION, title=provider.title, host=host, paths=paths())
    answer(flow, 200, page, content_type="text/plain; charset=utf-8")


async def missing(flow: HTTPFlow) -> None:
    refuse(flow, 404, f"{asked(flow)}: no such path. Here are: {paths()}", "not_found")


async def wrong_method(flow: HTTPFlow) -> None:
    allow = ", ".join(m for m in methods_of(OURS, flow.request.path) if m != WEBSOCKET)
    message = f"{asked(flow)}: the method of this path is {allow}"
    refuse(flow, 405, message, "method_not_allowed", allow=allow)


def asked(flow: HTTPFlow) -> str:
    return f"{flow.request.method} {flow.request.path.partition('?')[0][:200]}"


def paths() -> str:
    every = ((method, path) for path, methods in TABLE[OURS].items() for method in methods)
    shown = (f"{method} {path}" for method, path in every if method not in (WEBSOCKET, "OPTIONS"))
    return ", ".join(shown)


ANSWERS: dict[Route, Callable[[HTTPFlow], Awaitable[None]]] = {
    Route.ACCOUNT: account,
    Route.UPGRADE: upgrade,
    Route.ISOLATED: isolated,
    Route.HEALTH: health,
    Route.INDEX: index,
    Route.MISSING: missing,
    Route.METHOD: wrong_method,
}
