"""Answers to the calls beside the exchange: Codex's model catalog and account check, what is
isolated from OpenAI, and the pages of our own port."""

import asyncio
import time
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from mitmproxy.http import HTTPFlow

from addons import config, hidden, keys, models, upstream
from addons.answer import answer, answer_json, refuse
from addons.routes import OURS, TABLE, WEBSOCKET, Route, methods_of, route_of
from translate import BadRequest, Provider, catalog

STARTED = time.monotonic()

ABOUT = """\
codex-relay {version}: OpenAI's Responses API on a Chat Completions provider, upstream: {title}.

By proxy:    HTTPS_PROXY=http://{host} and CODEX_CA_CERTIFICATE=~/.mitmproxy/mitmproxy-ca-cert.pem
By base URL: base_url = "http://{host}/v1" in a provider's table of ~/.codex/config.toml

Here are: {paths}
"""


class Codex:
    async def request(self, flow: HTTPFlow) -> None:
        if flow.live and not flow.response and (reply := ANSWERS.get(route_of(flow))):
            await reply(flow)

    def done(self) -> None:
        models.forget()


async def catalog_of(flow: HTTPFlow) -> None:
    """Codex says its version when it wants its own form."""
    settings, (provider, url, key) = config.settings(), source(flow)
    for_codex = "client_version" in flow.request.query
    alone = upstream.at_port(flow)
    others = [] if alone else [name for name in config.served() if name != provider.name]
    listed, base, *more = await asyncio.gather(
        models.listed(url, provider.credentials(key)) if url else nothing(),
        models.base() if for_codex else nothing(),
        *map(scoped, others),
    )
    offered = catalog.offered(
        [*(listed or []), *(one for found in more for one in found)],
        provider,
        model=provider.model if alone else settings.model or provider.model,
        renames=[] if alone else [(name, to[0]) for name, to in settings.model_map],
    )
    if not for_codex:
        answer_json(flow, catalog.to_openai(offered))
        return
    form = catalog.to_codex(offered, base or {}, owner=provider.title)
    if form["models"]:
        answer_json(flow, form)
    else:  # an empty list would replace Codex's own
        refuse(flow, 404, f"{provider.title} lists no models; relay_model may name one.")


async def scoped(name: str) -> list[catalog.Entry]:
    """The models of another provider, under names by which they are found."""
    try:
        to = upstream.named(name)
    except BadRequest:
        return []
    listed = await models.listed(to.url, to.provider.credentials(to.key)) or []
    return [replace(entry, id=f"{name}/{entry.id}") for entry in listed]


async def nothing() -> None:
    return None


def source(flow: HTTPFlow) -> tuple[Provider, str, str | None]:
    """The upstream of this flow, its URL and key; no URL where it cannot be asked."""
    try:
        target = upstream.target(flow)
    except BadRequest:
        return config.providers()[config.settings().provider or "generic"], "", None
    return target.provider, target.url, target.key


async def account(flow: HTTPFlow) -> None:
    """Codex asks where its workspace lives, and does not begin without an answer."""
    named = hidden.sent(flow, "chatgpt-account-id")
    found = keys.chatgpt_account(keys.bearer(flow)) or (named[0] if named else None)
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
    provider, url, _ = source(flow)
    facts = {"status": "ok", "version": version(), "provider": provider.name, "upstream": url}
    answer_json(flow, {**facts, "uptime": round(time.monotonic() - STARTED, 1)})


async def index(flow: HTTPFlow) -> None:
    provider, _, _ = source(flow)
    host = flow.request.host_header or f"127.0.0.1:{flow.client_conn.sockname[1]}"
    page = ABOUT.format(version=version(), title=provider.title, host=host, paths=paths())
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
    return ", ".join(f"{method} {path}" for method, path in every if method != WEBSOCKET)


@cache
def version() -> str:
    file = Path(__file__).parents[1] / "pyproject.toml"
    project: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))["project"]
    return str(project["version"])


ANSWERS: dict[Route, Callable[[HTTPFlow], Awaitable[None]]] = {
    Route.MODELS: catalog_of,
    Route.ACCOUNT: account,
    Route.UPGRADE: upgrade,
    Route.ISOLATED: isolated,
    Route.HEALTH: health,
    Route.INDEX: index,
    Route.MISSING: missing,
    Route.METHOD: wrong_method,
}
