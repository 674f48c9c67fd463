"""The relay's accounts over HTTP: list, log in, log out, select, import; and the headers with which
the relay identifies itself."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow

from addons.accounts import (
    account_pool,
    accounts_snapshot,
    any_account_headers,
    current_login,
    import_login,
)
from addons.config import current_settings
from addons.flow_data import MASK, hidden_values
from addons.identity import VERSION
from addons.ingress import (
    NOT_ADMIN,
    SECRET_HEADERS,
    answer_flow,
    answer_json,
    is_admin,
    is_remote_client,
    refuse_flow,
    request_content,
)
from addons.routing import (
    Target,
    account_target,
    credential_headers,
    displayed_target,
    upstream_headers,
)
from translate import BadRequest, decode_request

# How a browser may have come here, https://www.w3.org/TR/fetch-metadata; "" is no browser.
ALLOWED_FETCH_SITES = ("", "none", "same-origin")


def private(
    handler: Callable[[HTTPFlow], Awaitable[None]],
) -> Callable[[HTTPFlow], Awaitable[None]]:
    """The handler, closed to pages of other origins and to client keys that are not the admin's,
    and with a reply that the flow hides."""

    async def answer_privately(flow: HTTPFlow) -> None:
        if is_cross_origin(flow):
            refuse_flow(flow, 403, "Pages of other sites may not use this path.", "foreign_origin")
            return
        if not is_admin(flow):
            refuse_flow(flow, 403, NOT_ADMIN, "not_admin")
            return
        await handler(flow)
        hide_reply(flow)

    return answer_privately


def is_cross_origin(flow: HTTPFlow) -> bool:
    """Whether a page of another origin caused the request; another port is another origin."""
    headers = flow.request.headers
    host, origin = flow.request.host_header, headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower():
        return True
    return headers.get("sec-fetch-site", "") not in ALLOWED_FETCH_SITES


def hide_reply(flow: HTTPFlow) -> None:
    """Mask the reply in the flow: it names the owners of accounts, or has a login code."""
    reply, hidden = flow.response, hidden_values(flow)
    if reply is None or not current_settings().redact:
        return
    if reply.raw_content:
        hidden.reply_body, reply.raw_content = reply.raw_content, MASK.encode()
    if url := reply.headers.get("location"):
        hidden.response_headers["location"], reply.headers["location"] = [url], MASK


@private
async def answer_accounts(flow: HTTPFlow) -> None:
    answer_json(flow, accounts_snapshot())


@private
async def answer_login(flow: HTTPFlow) -> None:
    """Redirect the browser to the login; `?device=true` gives a code to enter on any machine."""
    if flow.request.query.get("device", "").lower() in ("true", "1"):
        answer_json(flow, await current_login().start_device_login())
    else:
        url = await current_login().start_browser_login()
        answer_flow(flow, 302, f"Log in at {url}\n", location=url, cache_control="no-store")


@private
async def answer_logout(flow: HTTPFlow) -> None:
    await account_pool().log_out(await body_text(flow, "id"))
    answer_json(flow, accounts_snapshot())


@private
async def answer_select(flow: HTTPFlow) -> None:
    await account_pool().select_account(await body_text(flow, "id"))
    answer_json(flow, accounts_snapshot())


@private
async def answer_import(flow: HTTPFlow) -> None:
    """Copy Codex's own login. The relay reads its file, so only this machine's clients may ask."""
    if is_remote_client(flow.client_conn):
        refuse_flow(flow, 403, "Only clients on this machine may import one of its files.")
        return
    tokens, note = await asyncio.to_thread(import_login, await body_text(flow, "path"))
    await account_pool().add_login(tokens)
    logging.warning(note)
    answer_json(flow, accounts_snapshot() | {"note": note})


@private
async def answer_identity(flow: HTTPFlow) -> None:
    """The headers that the relay sends to each service that requests to this port may reach."""
    targets = [displayed_target(flow), account_target()]
    target_by_url = {target.url: target for target in targets if target and target.url}
    requests = [
        {"url": url, "headers": displayed_headers(target) | await displayed_credentials(target)}
        for url, target in target_by_url.items()
    ]
    answer_json(flow, {"name": "mitmcodex", "version": VERSION, "requests": requests})


def displayed_headers(target: Target) -> dict[str, str]:
    """The provider's headers. A key among them, from the user's own table, is masked."""
    return {
        name: MASK if name.lower() in SECRET_HEADERS else value
        for name, value in upstream_headers(target.provider).items()
    }


async def displayed_credentials(target: Target) -> dict[str, str]:
    uses_accounts = target.provider.accounts
    names = await any_account_headers() if uses_accounts else credential_headers(target)
    return {name: f"Bearer {MASK}" if name == "authorization" else MASK for name in names}


async def body_text(flow: HTTPFlow, field: str) -> str:
    """A text field of the request's JSON body. Raises BadRequest."""
    body: dict[str, Any] = decode_request(await request_content(flow))
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{field}: must be a text", param=field)
    return value
