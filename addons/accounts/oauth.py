"""OpenAI's login, as its public Codex client has it: from a code to tokens, and to newer tokens.

OAuth is Authlib's; what a reply means is said here. Nothing is ever sent twice: a refresh token and
a code are good for one use, and whether a request without a reply was one, nobody knows.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has none
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

from addons import config, models
from addons.accounts.account import Tokens
from addons.identity import USER_AGENT

CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"  # Codex's, which is public
PATIENCE = 20.0  # s for a whole request
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


class Dead(Exception):
    """The login is over, and only a new one helps; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unreachable(Exception):
    """No answer that counts, which may pass. What was sent may have been used up all the same."""


async def refresh(refresh_token: str) -> Tokens:
    """Newer tokens. `refresh` stays where the service gives no new one; `id` is "" where it gives
    none. Sent once. Raises Dead, Unreachable."""
    return await asked(lambda client: client.refresh_token(refresh_token=refresh_token))


async def asked(question: Callable[[Any], Any]) -> Tokens:
    """The tokens that the service answers to one request."""
    client: Any = AsyncOAuth2Client(CLIENT, token_endpoint=f"{issuer()}/oauth/token", **session())
    for moment in ("access_token_response", "refresh_token_response"):
        client.register_compliance_hook(moment, granted)
    try:
        async with asyncio.timeout(PATIENCE), client:
            told = await question(client)
    except (httpx2.HTTPError, AuthlibBaseError, OSError, ValueError, TypeError) as error:
        raise Unreachable(f"the login service: {type(error).__name__}") from None
    found = [told.get(name) or "" for name in ("access_token", "refresh_token", "id_token")]
    match found:
        case [str(access), str(refresh), str(id)] if access:
            return Tokens(access, refresh, id, time.time())
    raise Unreachable("the login service: an answer without tokens")


def granted(reply: httpx2.Response) -> httpx2.Response:
    """The reply, if it gives what was asked for. Raises Dead, Unreachable."""
    if reply.status_code == 200:
        return reply
    code = code_of(reply)
    if reply.status_code in REFUSED and code in OVER:
        raise Dead(code)
    raise Unreachable(f"the login service: HTTP {reply.status_code} {code}".rstrip())


def code_of(reply: httpx2.Response) -> str:
    """The error's code in OAuth's form or in OpenAI's; "" where there is none, or no plain one."""
    try:
        told = reply.json()
    except ValueError:
        return ""
    error = told.get("error") if isinstance(told, dict) else None
    code = error.get("code") or error.get("type") if isinstance(error, dict) else error
    return code if isinstance(code, str) and re.fullmatch(r"[a-z0-9_]{1,64}", code) else ""


def issuer() -> str:
    return config.settings().chatgpt_issuer


def session() -> dict[str, Any]:
    """What a client for our own requests to OpenAI is made with."""
    trusted = models.trust()
    return {
        "headers": {"user-agent": USER_AGENT},
        "timeout": PATIENCE,
        "trust_env": False,  # HTTPS_PROXY may be ourselves
        "follow_redirects": False,
        "verify": verified(trusted["ca_certs"], trusted["validate_cert"]),
    }


@cache
def verified(file: str, checked: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=file)
    if not checked:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
