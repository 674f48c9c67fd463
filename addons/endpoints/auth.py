"""Accounts over HTTP, on our own port: which there are, login, logout, and what OpenAI is told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mitmproxy.http import HTTPFlow

from addons.accounts import addon
from addons.accounts import codex_auth_file as codexfile
from addons.accounts.locked_file import Unavailable
from addons.accounts.login_callback import Taken
from addons.accounts.oauth import Dead, Unreachable
from addons.config import addon as config
from addons.flow_data import MASK, hidden_of
from addons.identity import VERSION
from addons.ingress import routes
from addons.ingress.access import remote
from addons.ingress.local_reply import answer, answer_json, refuse
from addons.ingress.redaction import NAMES
from addons.ingress.routes import Route
from addons.routing import target as upstream
from translate import BadRequest, decode

# https://www.w3.org/TR/fetch-metadata: who sends a browser here
SITES = ("", "none", "same-origin")


class Web:
    async def request(self, flow: HTTPFlow) -> None:
        reply = ANSWERS.get(routes.route_of(flow))
        if flow.response or reply is None or not flow.live:
            return
        if foreign(flow):
            refuse(flow, 403, "Pages of other sites may not ask for this.", "foreign_origin")
            return
        try:
            await reply(flow)
            cover(flow)
        except BadRequest as error:
            refuse(flow, 400, error.message, error.code, error.param)
        except LookupError as error:
            refuse(flow, 404, str(error.args[0]), "no_account")
        except Taken as error:
            refuse(flow, 409, f"{error} GET /auth/login?device=true begins that.", "port_taken")
        except (Dead, Unreachable) as error:
            refuse(flow, 502, f"The login service refused: {error}", "login_failed")
        except Unavailable as error:
            refuse(flow, 503, str(error), "vault_unavailable")
        except Exception:  # without an answer here the flow would go on to where it was addressed
            logging.exception("codex-relay failed at an account")
            refuse(flow, 500, "codex-relay failed at this request; its log says how.")


def foreign(flow: HTTPFlow) -> bool:
    """Whether a page of another origin sent a browser here, be it one of this machine."""
    headers = flow.request.headers
    host, origin = flow.request.host_header, headers.get("origin")
    away = origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower()
    return away or headers.get("sec-fetch-site", "") not in SITES


def cover(flow: HTTPFlow) -> None:
    """Whose accounts they are, and what a login takes, is nobody's who reads flows."""
    reply, hidden = flow.response, hidden_of(flow)
    if reply is None or not config.settings().redact:
        return
    if reply.raw_content:
        hidden.body, reply.raw_content = reply.raw_content, MASK.encode()
    if url := reply.headers.get("location"):
        hidden.response["location"], reply.headers["location"] = [url], MASK


async def accounts(flow: HTTPFlow) -> None:
    answer_json(flow, addon.snapshot())


async def login(flow: HTTPFlow) -> None:
    """Sends a browser to the login; `?device=true` gives a code to be entered on any machine."""
    if flow.request.query.get("device", "").lower() in ("true", "1"):
        answer_json(flow, await addon.login().device())
    else:
        url = await addon.login().browser()
        answer(flow, 302, f"Log in at {url}\n", location=url, cache_control="no-store")


async def logout(flow: HTTPFlow) -> None:
    await addon.pool().logout(named(flow, "id"))
    answer_json(flow, addon.snapshot())


async def select(flow: HTTPFlow) -> None:
    await addon.pool().select(named(flow, "id"))
    answer_json(flow, addon.snapshot())


async def copy(flow: HTTPFlow) -> None:
    """A copy of Codex's own login; the file is read here, so for clients on this machine alone."""
    if remote(flow.client_conn):
        refuse(flow, 403, "A file of this machine is imported from this machine only.")
        return
    tokens, note = await asyncio.to_thread(codexfile.import_, Path(named(flow, "path")))
    await addon.pool().add(tokens)
    logging.warning(note)
    answer_json(flow, addon.snapshot() | {"note": note})


async def identity(flow: HTTPFlow) -> None:
    """The headers that go up, for each service that this port's requests may go to."""
    found = [upstream.source(flow), upstream.account()]
    asked = {to.url: to for to in found if to and to.url}
    requests = [{"url": url, "headers": plain(to) | await masked(to)} for url, to in asked.items()]
    answer_json(flow, {"name": "codex-relay", "version": VERSION, "requests": requests})


def plain(to: upstream.Target) -> dict[str, str]:
    """A table of the user's may have a key in its headers."""
    told = upstream.headers(to.provider)
    return {name: MASK if name.lower() in NAMES else value for name, value in told.items()}


async def masked(to: upstream.Target) -> dict[str, str]:
    secrets = await addon.reader() if to.provider.accounts else upstream.secrets(to)
    return {name: f"Bearer {MASK}" if name == "authorization" else MASK for name in secrets}


def named(flow: HTTPFlow, field: str) -> str:
    """A text in the body. Raises BadRequest."""
    body: dict[str, Any] = decode(flow.request.get_content(strict=False) or b"")
    found = body.get(field)
    if not isinstance(found, str) or not found:
        raise BadRequest(f"{field}: must be a text", param=field)
    return found


ANSWERS: dict[Route, Callable[[HTTPFlow], Awaitable[None]]] = {
    Route.ACCOUNTS: accounts,
    Route.LOGIN: login,
    Route.LOGOUT: logout,
    Route.SELECT: select,
    Route.IMPORT: copy,
    Route.IDENTITY: identity,
}
