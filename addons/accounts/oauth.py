"""OpenAI's login, as its public Codex client has it: by browser or device code to tokens, and from
tokens to newer ones.

OAuth is Authlib's; what a reply means is said here. Nothing is ever sent twice: a refresh token and
a code are good for one use, and whether a request without a reply was one, nobody knows.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has none
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

from addons.accounts.tokens import Tokens, sendable
from addons.config import addon as config
from addons.http_client import PATIENCE, session
from addons.identity import ORIGINATOR

CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"  # Codex's, which is public
PORT = 1455  # the only one to which the service sends browsers back; tests have others
SCOPE = "openid profile email offline_access"
FLOW = {
    "id_token_add_organizations": "true",
    "codex_cli_simplified_flow": "true",
    "originator": ORIGINATOR,
}
FORM = {"accept": "application/json", "content-type": "application/x-www-form-urlencoded"}
OVER = frozenset(
    {
        "refresh_token_reused",
        "refresh_token_expired",
        "refresh_token_invalidated",
        "invalid_grant",
        "app_session_terminated",
        "access_denied",
    }
)
REFUSED = frozenset({400, 401, 403})
UNREADABLE = httpx2.HTTPError, AuthlibBaseError, OSError, ValueError, TypeError, RecursionError


class Dead(Exception):
    """The login is over, and only a new one helps; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unreachable(Exception):
    """No answer that counts, which may pass. What was sent may have been used up all the same."""


def redirect() -> str:
    """Where the browser comes back to with a code; the service compares it as text."""
    return f"http://localhost:{PORT}/auth/callback"


def authorize_url(state: str, verifier: str) -> str:
    """Where the user logs in, in a browser."""
    url, _ = client(code_challenge_method="S256").create_authorization_url(
        f"{issuer()}/oauth/authorize",
        redirect_uri=redirect(),
        scope=SCOPE,
        state=state,
        code_verifier=verifier,
        **FLOW,
    )
    return str(url).replace("+", "%20")  # Authlib's way of writing blanks is not understood there


async def exchange(code: str, verifier: str, back: str | None = None) -> Tokens:
    """The tokens for a code that came `back` to this address, by default the browser's. Sent once.
    Raises Dead, Unreachable."""
    given = {"code": code, "code_verifier": verifier, "redirect_uri": back or redirect()}
    return await asked(lambda client: client.fetch_token(grant_type="authorization_code", **given))


async def refresh(refresh_token: str) -> Tokens:
    """Newer tokens. `refresh` stays where the service gives no new one; `id` is "" where it gives
    none. Sent once. Raises Dead, Unreachable."""
    return await asked(lambda client: client.refresh_token(refresh_token=refresh_token))


async def asked(question: Callable[[Any], Any]) -> Tokens:
    """The tokens that the service answers to one request."""
    service = client(token_endpoint=f"{issuer()}/oauth/token")
    for moment in ("access_token_response", "refresh_token_response"):
        service.register_compliance_hook(moment, granted)
    try:
        async with asyncio.timeout(PATIENCE), service:
            told = await question(service)
    except UNREADABLE as error:
        raise unheard(error) from None
    found = [told.get(name) or "" for name in ("access_token", "refresh_token", "id_token")]
    match found:
        case [str(access), str(refresh), str(id)] if access and sendable(access, refresh, id):
            return Tokens(access, refresh, id, time.time())
    raise Unreachable("the login service: an answer without tokens")


def client(**more: str) -> Any:
    return AsyncOAuth2Client(CLIENT, **more, **session())


def granted(reply: httpx2.Response) -> httpx2.Response:
    """The reply, if it gives what was asked for. Raises Dead, Unreachable."""
    if reply.status_code == 200:
        return reply
    code = code_of(reply)
    if reply.status_code in REFUSED and code in OVER:
        raise Dead(code)
    raise Unreachable(f"the login service: HTTP {reply.status_code} {code}".rstrip())


def unheard(error: Exception) -> Unreachable:
    """By its kind alone: its text may hold what was sent."""
    return Unreachable(f"the login service: {type(error).__name__}")


def code_of(reply: httpx2.Response) -> str:
    """The error's code in OAuth's form or in OpenAI's; "" where there is none, or no plain one."""
    try:
        told = reply.json()
    except (ValueError, RecursionError):
        return ""
    error = told.get("error") if isinstance(told, dict) else None
    code = error.get("code") or error.get("type") if isinstance(error, dict) else error
    return code if isinstance(code, str) and re.fullmatch(r"[a-z0-9_]{1,64}", code) else ""


def issuer() -> str:
    return config.settings().chatgpt_issuer
