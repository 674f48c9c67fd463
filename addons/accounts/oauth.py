"""OpenAI's login service, used as Codex's public client uses it: it gives tokens for a browser
login or a device code, and newer tokens for a refresh token.

Authlib speaks OAuth; this file interprets the replies. No code and no refresh token is sent twice:
they are good for one use, and a request without a reply may have used them up.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has none
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

from addons.accounts.tokens import Tokens, fits_header
from addons.config import current_settings
from addons.http_client import REQUEST_TIMEOUT, client_options
from addons.identity import ORIGINATOR

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"  # Codex's, which is public
CALLBACK_PORT = 1455  # the only port to which OpenAI sends browsers back; tests use others
SCOPE = "openid profile email offline_access"
AUTHORIZE_PARAMETERS = {
    "id_token_add_organizations": "true",
    "codex_cli_simplified_flow": "true",
    "originator": ORIGINATOR,
}
# Error codes that end a login: only a new one helps.
ENDING_CODES = frozenset(
    {
        "refresh_token_reused",
        "refresh_token_expired",
        "refresh_token_invalidated",
        "invalid_grant",
        "app_session_terminated",
        "access_denied",
    }
)
DEVICE_ENDING_CODES = ENDING_CODES | {"expired_token", "authorization_declined"}
REFUSAL_STATUSES = frozenset({400, 401, 403})
NO_REPLY_ERRORS = (
    httpx2.HTTPError,
    AuthlibBaseError,
    OSError,
    ValueError,
    TypeError,
    RecursionError,
)
DEVICE_CODE_LIFE = 900.0  # s
DEFAULT_POLL_INTERVAL = 5.0  # s between two polls, if the service does not say
POLL_SLOWDOWN = 5.0  # s added to the interval when the service says that the relay polls too often
PENDING_STATUSES = frozenset({403, 404})  # of a device code that nobody has entered yet


class LoginEnded(Exception):
    """The login can no longer be renewed, only replaced; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class LoginServiceUnreachable(Exception):
    """The login service gave no usable reply, which may be temporary. The token or code that was
    sent may be used up."""


@dataclass(frozen=True)
class DeviceCode:
    """A code that the user enters on OpenAI's page, in a browser on any device. This is not RFC
    8628: after that, a poll gives an authorization code and its verifier instead of tokens."""

    id: str = field(repr=False)
    user_code: str
    interval: float  # s from a reply to the next poll
    expires_at: float  # Unix seconds

    @property
    def url(self) -> str:
        """Where the user enters the code."""
        return f"{issuer_url()}/codex/device"

    def with_longer_interval(self) -> "DeviceCode":
        return replace(self, interval=self.interval + POLL_SLOWDOWN)


@dataclass(frozen=True)
class DeviceApproval:
    """The arguments of `exchange_code` after the user has entered a device code."""

    authorization_code: str = field(repr=False)
    verifier: str = field(repr=False)

    @property
    def redirect_uri(self) -> str:
        return f"{issuer_url()}/deviceauth/callback"


def issuer_url() -> str:
    return current_settings().chatgpt_issuer


def callback_port() -> int:
    """The port on localhost that OpenAI sends browsers back to."""
    return CALLBACK_PORT


def browser_redirect_uri() -> str:
    """The URL to which OpenAI sends the browser back with a code. OpenAI compares it as text."""
    return f"http://localhost:{CALLBACK_PORT}/auth/callback"


def authorize_url(state: str, verifier: str) -> str:
    """The URL at which the user logs in with a browser."""
    url, _ = oauth_client(code_challenge_method="S256").create_authorization_url(
        f"{issuer_url()}/oauth/authorize",
        redirect_uri=browser_redirect_uri(),
        scope=SCOPE,
        state=state,
        code_verifier=verifier,
        **AUTHORIZE_PARAMETERS,
    )
    return str(url).replace("+", "%20")  # Authlib writes a blank as "+", which OpenAI does not read


async def exchange_code(code: str, verifier: str, redirect_uri: str | None = None) -> Tokens:
    """The tokens for a code that OpenAI sent to `redirect_uri`, by default the browser's. Sends the
    code once. Raises LoginEnded, LoginServiceUnreachable."""
    fields = {
        "code": code,
        "code_verifier": verifier,
        "redirect_uri": redirect_uri or browser_redirect_uri(),
    }
    return await request_tokens(
        lambda client: client.fetch_token(grant_type="authorization_code", **fields)
    )


async def refresh_tokens(refresh_token: str) -> Tokens:
    """Newer tokens. If the service gives no new refresh token, they have the old one; `id_token` is
    "" if it gives none. Sends the token once. Raises LoginEnded, LoginServiceUnreachable."""
    return await request_tokens(lambda client: client.refresh_token(refresh_token=refresh_token))


async def request_tokens(send: Callable[[Any], Any]) -> Tokens:
    """The tokens in the reply to the one request that `send` makes with an Authlib client. Raises
    LoginEnded, LoginServiceUnreachable."""
    client = oauth_client(token_endpoint=f"{issuer_url()}/oauth/token")
    for hook in ("access_token_response", "refresh_token_response"):
        client.register_compliance_hook(hook, require_success)
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT), client:
            reply = await send(client)
    except NO_REPLY_ERRORS as error:
        raise service_unreachable(error) from None
    texts = [reply.get(name) or "" for name in ("access_token", "refresh_token", "id_token")]
    match texts:
        case [str(access), str(refresh), str(id)] if access and fits_header(access, refresh, id):
            return Tokens(access, refresh, id, time.time())
    raise LoginServiceUnreachable("the login service: a reply without tokens")


def oauth_client(**options: str) -> Any:
    return AsyncOAuth2Client(CLIENT_ID, **options, **client_options())


async def request_device_code() -> DeviceCode:
    """A new code for the user to enter. Raises LoginEnded, LoginServiceUnreachable."""
    reply = await post_device_request("usercode", client_id=CLIENT_ID)
    fields = read_object(require_success(reply))
    match [fields.get("device_auth_id"), fields.get("user_code") or fields.get("usercode")]:
        case [str(id), str(user_code)] if id and user_code:
            interval = parse_interval(fields.get("interval"))
            return DeviceCode(id, user_code, interval, time.time() + DEVICE_CODE_LIFE)
    raise LoginServiceUnreachable("the login service: a reply without a device code")


async def poll_device_code(device: DeviceCode) -> DeviceApproval | DeviceCode:
    """The approval or, while the user has not entered the code, the device code with the interval
    for the next poll. Raises LoginEnded, LoginServiceUnreachable."""
    reply = await post_device_request("token", device_auth_id=device.id, user_code=device.user_code)
    code = error_code(reply)
    if reply.status_code in REFUSAL_STATUSES and code in DEVICE_ENDING_CODES:
        raise LoginEnded(code)
    if reply.status_code == 429 or code == "slow_down":
        return device.with_longer_interval()
    if reply.status_code in PENDING_STATUSES:
        return device
    fields = read_object(require_success(reply))
    match [fields.get("authorization_code"), fields.get("code_verifier")]:
        case [str(authorization_code), str(verifier)] if authorization_code and verifier:
            return DeviceApproval(authorization_code, verifier)
    raise LoginServiceUnreachable("the login service: an approval without a code")


async def post_device_request(name: str, **fields: str) -> httpx2.Response:
    """Raises LoginServiceUnreachable."""
    url = f"{issuer_url()}/api/accounts/deviceauth/{name}"
    try:
        async with (
            asyncio.timeout(REQUEST_TIMEOUT),
            httpx2.AsyncClient(**client_options()) as client,
        ):
            return await client.post(url, json=fields)
    except (httpx2.HTTPError, OSError) as error:
        raise service_unreachable(error) from None


def require_success(reply: httpx2.Response) -> httpx2.Response:
    """The reply if its status is 200. Raises LoginEnded, LoginServiceUnreachable."""
    if reply.status_code == 200:
        return reply
    code = error_code(reply)
    if reply.status_code in REFUSAL_STATUSES and code in ENDING_CODES:
        raise LoginEnded(code)
    raise LoginServiceUnreachable(f"the login service: HTTP {reply.status_code} {code}".rstrip())


def service_unreachable(error: Exception) -> LoginServiceUnreachable:
    """The error to raise; it names only the type of `error`, whose text may contain a secret."""
    return LoginServiceUnreachable(f"the login service: {type(error).__name__}")


def error_code(reply: httpx2.Response) -> str:
    """The error code in OAuth's form or in OpenAI's; "" if there is none or it is not a plain
    word."""
    try:
        body = reply.json()
    except (ValueError, RecursionError):
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") or error.get("type") if isinstance(error, dict) else error
    return code if isinstance(code, str) and re.fullmatch(r"[a-z0-9_]{1,64}", code) else ""


def read_object(reply: httpx2.Response) -> dict[str, object]:
    """The JSON object in a reply, {} for other JSON. Raises LoginServiceUnreachable."""
    try:
        body = reply.json()
    except (ValueError, RecursionError) as error:
        raise service_unreachable(error) from None
    return body if isinstance(body, dict) else {}


def parse_interval(value: object) -> float:
    """The poll interval in seconds, which the service writes as text; the default if invalid."""
    try:
        seconds = float(str(value))
    except ValueError:
        return DEFAULT_POLL_INTERVAL
    return seconds if 0 < seconds <= DEVICE_CODE_LIFE else DEFAULT_POLL_INTERVAL
