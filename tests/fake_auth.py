"""A strict auth server on loopback: OpenAI's login as Codex uses it, by browser and by device code.

    auth.user = person("ada", plan="pro")           # who approves the next login
    auth.lifetime = 1                               # s that access tokens live
    auth.troubles.append(Trouble(500))              # the next token request fails
    auth.approve(user_code)                         # as the user does on the device page
    tokens = auth.give()                            # the tokens of an earlier login

Requests that the real server refuses are refused, and stand in `refusals`, which `verify` expects
to be empty.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import secrets
import select
import threading
import time
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import httpx2
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.accounts.tokens import Tokens
from addons.config.addon import Config

CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
SCOPE = "openid profile email offline_access"
FORM = "application/x-www-form-urlencoded"
OPENAI_NAMES = re.compile(
    r"codex_|codex$|codex[ -](cli|tui|vscode|desktop|exec|sdk)|openai|chatgpt", re.I
)
RELAY_AGENT = re.compile(r"mitmcodex/\S+")

type Json = dict[str, Any]


@dataclass(frozen=True)
class User:
    email: str
    plan: str
    workspace: str
    id: str


def make_user(name: str, plan: str = "plus", workspace: str = "") -> User:
    workspace = workspace or f"ws-{name}"
    return User(f"{name}@example.com", plan, workspace, f"user-{name}")


@dataclass(frozen=True)
class TokenTrouble:
    """A failure of a token request. Status 0: the connection ends without a reply."""

    status: int = 0
    code: str = ""
    body: bytes = b""  # instead of an error in OpenAI's form
    seconds: float = 0.0  # before the reply
    done: bool = False  # the request takes effect, and only its reply is lost


@dataclass
class Grant:
    """An authorization code, until it is exchanged or too old."""

    user: User
    challenge: str
    redirect: str
    at: float = field(default_factory=time.monotonic)


@dataclass
class Device:
    code: str
    interval: float
    at: float = field(default_factory=time.monotonic)
    polled: float = 0.0
    answer: str | User = ""  # "" until the user answers; an error code for a refusal


class Refusal(Exception):
    """An error reply: status, code and fault; with `oauth` in the form of OAuth."""

    def __init__(self, status: int, code: str, fault: str, oauth: str = "") -> None:
        super().__init__(fault)
        self.status, self.code, self.fault = status, code, fault
        message = {"message": fault, "type": "invalid_request_error", "param": None, "code": code}
        self.body = {"error": oauth, "error_description": fault} if oauth else {"error": message}


class FakeAuth:
    """The server. `url` is the issuer; browsers are sent back to `port` of this machine."""

    def __init__(self, port: int = 1455) -> None:
        self.port = port
        self.lock = threading.RLock()
        self.user = make_user("ada")
        self.lifetime = 3600.0  # s of an access token
        self.code_lifetime = 60.0  # s of a code
        self.device_lifetime = 900.0  # s of a device code
        self.interval = 0.05  # s between two polls
        self.delay = 0.0  # s before a token request is answered
        self.rotate = (
            True  # else a refresh returns no new refresh token, and the old one stays valid
        )
        self.browser_error = ""  # the error in the next redirect, such as "access_denied"
        self.troubles: list[TokenTrouble] = []  # of the next token requests, in order
        self.device_troubles: list[TokenTrouble] = []  # of the next polls
        self.refusals: list[str] = []
        self.token_requests: list[Json] = []  # the forms of all token requests
        self.refreshes = 0  # that returned tokens
        self.polls = 0
        self.access_tokens: dict[str, User] = {}  # valid access tokens
        self.refresh_tokens: dict[str, User] = {}  # unused refresh tokens
        self.ended_refresh_tokens: dict[str, str] = {}  # invalid refresh tokens → error code
        self.grants: dict[str, Grant] = {}
        self.devices: dict[str, Device] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def verify(self) -> None:
        assert self.refusals == []
        assert self.troubles == [] and self.device_troubles == []

    @property
    def redirect(self) -> str:
        return f"http://localhost:{self.port}/auth/callback"

    def issue_tokens(self, user: User | None = None, lifetime: float | None = None) -> Tokens:
        """The tokens of a login that has already taken place."""
        reply = self._tokens(user or self.user, self.lifetime if lifetime is None else lifetime)
        access, refresh, id = reply["access_token"], reply["refresh_token"], reply["id_token"]
        return Tokens(access, refresh, id, time.time())

    def end_refresh_token(self, refresh: str, code: str) -> None:
        """Make this refresh token invalid, with a code such as refresh_token_expired."""
        with self.lock:
            self.refresh_tokens.pop(refresh, None)
            self.ended_refresh_tokens[refresh] = code

    def revoke_access_token(self, access: str) -> None:
        self.access_tokens.pop(access, None)

    def approve_device(self, user_code: str, user: User | None = None) -> None:
        self._device(user_code).answer = user or self.user

    def deny_device(self, user_code: str, code: str = "access_denied") -> None:
        self._device(user_code).answer = code

    def _device(self, user_code: str) -> Device:
        return next(device for device in self.devices.values() if device.code == user_code)

    # The endpoints; each returns its answer or raises Refusal.

    def authorize(self, query: str) -> str:
        """The URL to which the browser is redirected."""
        parameters = authorization_parameters(query, self.redirect)
        answer = {"state": parameters["state"]}
        if self.browser_error:
            answer["error"], self.browser_error = self.browser_error, ""
        else:
            code = secrets.token_urlsafe(24)
            self.grants[code] = Grant(self.user, parameters["code_challenge"], self.redirect)
            answer["code"] = code
        return f"{self.redirect}?{urlencode(answer)}"

    def token(self, form: Json) -> Json:
        kinds = {"authorization_code": self._exchange, "refresh_token": self._refresh}
        if form.get("client_id") != CLIENT:
            raise Refusal(401, "", "client_id: unknown", "invalid_client")
        if form.get("grant_type") not in kinds:
            raise Refusal(400, "", "grant_type: unknown", "unsupported_grant_type")
        return kinds[form["grant_type"]](form)

    def _exchange(self, form: Json) -> Json:
        check_fields(form, {"grant_type", "client_id", "code", "redirect_uri", "code_verifier"})
        grant = self.grants.pop(form["code"], None)  # it is used up, whatever follows
        if grant is None or time.monotonic() > grant.at + self.code_lifetime:
            raise Refusal(400, "", "code: unknown, used or expired", "invalid_grant")
        if form["redirect_uri"] != grant.redirect:
            raise Refusal(400, "", "redirect_uri: another than before", "invalid_grant")
        verifier = form["code_verifier"]
        if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier):
            raise Refusal(400, "", "code_verifier: not as RFC 7636 has it", "invalid_request")
        if challenge_of(verifier) != grant.challenge:
            raise Refusal(400, "", "code_verifier: not that of the challenge", "invalid_grant")
        return self._tokens(grant.user, self.lifetime)

    def _refresh(self, form: Json) -> Json:
        check_fields(form, {"grant_type", "client_id", "refresh_token"}, {"scope"})
        if form.get("scope", "openid profile email") not in (SCOPE, "openid profile email"):
            raise Refusal(400, "", "scope: another than before", "invalid_scope")
        token = form["refresh_token"]
        if token in self.ended_refresh_tokens:
            raise Refusal(
                401,
                self.ended_refresh_tokens[token],
                f"refresh_token: {self.ended_refresh_tokens[token]}",
            )
        if token not in self.refresh_tokens:
            raise Refusal(400, "", "refresh_token: unknown", "invalid_grant")
        self.refreshes += 1
        reply = self._tokens(self.refresh_tokens[token], self.lifetime, self.rotate)
        if self.rotate:
            self.end_refresh_token(token, "refresh_token_reused")
        return reply

    def _tokens(self, user: User, lifetime: float, rotate: bool = True) -> Json:
        with self.lock:
            access, id = web_token(access_claims(user, lifetime)), web_token(id_claims(user))
            self.access_tokens[access] = user
            reply = {"access_token": access, "id_token": id, "token_type": "Bearer"}
            reply |= {"expires_in": int(lifetime)}
            if rotate:
                reply["refresh_token"] = f"rt_{secrets.token_urlsafe(30)}"
                self.refresh_tokens[reply["refresh_token"]] = user
            return reply

    def device_begin(self, form: Json) -> Json:
        check_fields(form, {"client_id"})
        if form["client_id"] != CLIENT:
            raise Refusal(401, "invalid_client", "client_id: unknown")
        id, code = f"deviceauth_{secrets.token_hex(8)}", f"{secrets.token_hex(2)}-FAKE".upper()
        self.devices[id] = Device(code, self.interval)
        return {"device_auth_id": id, "user_code": code, "interval": str(self.interval)}

    def device_poll(self, form: Json) -> Json:
        check_fields(form, {"device_auth_id", "user_code"})
        self.polls += 1
        device = self.devices.get(form["device_auth_id"])
        if device is None or device.code != form["user_code"]:
            raise Refusal(400, "invalid_request", "device_auth_id, user_code: not as given out")
        now, last = time.monotonic(), device.polled
        device.polled = now
        if now < last + device.interval:
            raise Refusal(429, "slow_down", "polled faster than the interval")
        if now > device.at + self.device_lifetime:
            raise Pending(403, "expired_token", "device code: expired")
        if not device.answer:
            status = (403, 404)[self.polls % 2]
            raise Pending(status, "deviceauth_authorization_unknown", "not answered yet")
        if isinstance(device.answer, str):
            raise Pending(403, device.answer, "the user said no")
        del self.devices[form["device_auth_id"]]
        verifier, code = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
        challenge, redirect = challenge_of(verifier), f"{self.url}/deviceauth/callback"
        self.grants[code] = Grant(device.answer, challenge, redirect)
        reply = {"authorization_code": code, "code_verifier": verifier}
        return reply | {"code_challenge": challenge}


class Pending(Refusal):
    """A refusal that is not a fault of the client."""


def authorization_parameters(query: str, redirect: str) -> dict[str, str]:
    """The checked parameters of an authorization request."""
    if "+" in query:
        raise Refusal(400, "AuthApiFailure", "query: a blank is %20 here, not +")
    pairs = [pair.partition("=")[::2] for pair in query.split("&")]
    parameters = {unquote(name): unquote(value) for name, value in pairs}
    if len(parameters) < len(pairs):
        raise Refusal(400, "invalid_request", "query: a parameter is there twice")
    fixed = {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": redirect,
        "scope": SCOPE,
        "code_challenge_method": "S256",
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
    }
    check_fields(parameters, {*fixed, "code_challenge", "state", "originator"})
    for name, value in fixed.items():
        if parameters[name] != value:
            raise Refusal(400, "invalid_request", f"{name}: {parameters[name]!r} is not {value!r}")
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", parameters["code_challenge"]):
        raise Refusal(400, "invalid_request", "code_challenge: not S256")
    if len(parameters["state"]) < 20:
        raise Refusal(400, "invalid_request", "state: can be guessed")
    if not parameters["originator"] or OPENAI_NAMES.match(parameters["originator"]):
        raise Refusal(400, "invalid_request", "originator: a name of OpenAI's own")
    return parameters


def check_fields(
    form: Json, needed: set[str], allowed: frozenset[str] | set[str] = frozenset()
) -> None:
    """Refuse a form that lacks a field, has an unknown one, or has one that is no text."""
    if missing := needed - form.keys():
        raise Refusal(400, "invalid_request", f"{', '.join(sorted(missing))}: missing")
    if surplus := form.keys() - needed - allowed:
        raise Refusal(400, "invalid_request", f"{', '.join(sorted(surplus))}: unknown")
    if not all(isinstance(value, str) and value for value in form.values()):
        raise Refusal(400, "invalid_request", "a field is empty or no text")


def challenge_of(verifier: str) -> str:
    return base64url(hashlib.sha256(verifier.encode()).digest())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def web_token(claims: Json) -> str:
    head = {"alg": "RS256", "typ": "JWT", "kid": "fake"}
    parts = [base64url(json.dumps(part).encode()) for part in (head, claims)]
    return ".".join([*parts, base64url(secrets.token_bytes(32))])


def access_claims(user: User, lifetime: float) -> Json:
    now = time.time()
    return {
        "iss": "https://auth.openai.com",
        "aud": ["https://api.openai.com/v1"],
        "client_id": CLIENT,
        "iat": int(now),
        "exp": now + lifetime if lifetime < 10 else int(now + lifetime),
        "jti": secrets.token_hex(8),
        "https://api.openai.com/auth": auth_claims(user),
        "https://api.openai.com/profile": {"email": user.email, "email_verified": True},
    }


def id_claims(user: User) -> Json:
    return {
        "iss": "https://auth.openai.com",
        "aud": [CLIENT],
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
        "email": user.email,
        "https://api.openai.com/auth": auth_claims(user),
    }


def auth_claims(user: User) -> Json:
    return {
        "chatgpt_account_id": user.workspace,
        "chatgpt_plan_type": user.plan,
        "chatgpt_user_id": user.id,
        "organizations": [{"id": f"org-{user.workspace}", "is_default": True, "role": "owner"}],
        "chatgpt_subscription_active_until": "2099-01-01T00:00:00+00:00",
    }


@contextlib.contextmanager
def running_auth(port: int = 1455) -> Iterator[FakeAuth]:
    """An auth server for a `with` block, verified at its end."""
    auth = FakeAuth(port)
    try:
        yield auth
        auth.verify()
    finally:
        auth.close()


def run_with_accounts[T](auth: FakeAuth, coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of the coroutine, in a mitmproxy whose accounts log in at this server."""

    async def run() -> T:
        addon = Config()
        with taddons.context(Proxyserver(), addon) as context:
            context.configure(addon, relay_chatgpt_issuer=auth.url)
            return await coroutine

    return asyncio.run(run())


async def fetch_final_page(url: str) -> httpx2.Response:
    """The page at which a browser that opens this URL ends."""
    async with httpx2.AsyncClient(trust_env=False, follow_redirects=True, timeout=10) as browser:
        return await browser.get(url)


def _handler(auth: FakeAuth) -> type[BaseHTTPRequestHandler]:
    """The class that serves the connections of this server."""

    class Handler(_AuthHandler):
        pass

    Handler.auth = auth
    return Handler


class _AuthHandler(BaseHTTPRequestHandler):
    auth: FakeAuth
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        try:
            if path == "/codex/device":
                self._send(200, b"<title>Enter your code</title>", "text/html")
                return
            if path != "/oauth/authorize":
                raise Refusal(404, "not_found", f"path: {path}")
            with self.auth.lock:
                address = self.auth.authorize(query)
            self._send(302, b"", "text/html", location=address)
        except Refusal as refusal:
            self._refuse(refusal)

    def do_POST(self) -> None:
        endpoints = {
            "/oauth/token": (self._form, self.auth.token, self.auth.troubles),
            "/api/accounts/deviceauth/usercode": (self._json, self.auth.device_begin, []),
            "/api/accounts/deviceauth/token": (
                self._json,
                self.auth.device_poll,
                self.auth.device_troubles,
            ),
        }
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            if self.path not in endpoints:
                raise Refusal(404, "not_found", f"path: {self.path}")
            read, act, troubles = endpoints[self.path]
            if not RELAY_AGENT.fullmatch(self.headers.get("user-agent", "")):
                raise Refusal(403, "", "user-agent: not the relay's")
            if surplus := {"authorization", "cookie"} & {name.lower() for name in self.headers}:
                raise Refusal(400, "invalid_request", f"{', '.join(surplus)}: not wanted here")
            form = read(data)
            with self.auth.lock:
                if self.path == "/oauth/token":
                    self.auth.token_requests.append(form)
                trouble = troubles.pop(0) if troubles else None
                answer = act(form) if trouble is None or trouble.done else None
            self._wait(self.auth.delay if read == self._form else 0)
            if trouble:
                self._trouble(trouble)
            else:
                self._send(200, json.dumps(answer).encode(), "application/json")
        except Refusal as refusal:
            self._refuse(refusal)
        except ConnectionError:
            self.close_connection = True

    def _form(self, data: bytes) -> Json:
        if self.headers.get_content_type() != FORM:
            raise Refusal(400, "invalid_request", "content-type: form encoding only")
        pairs = parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=True)
        if len(dict(pairs)) < len(pairs):
            raise Refusal(400, "invalid_request", "body: a field is there twice")
        return dict(pairs)

    def _json(self, data: bytes) -> Json:
        if self.headers.get_content_type() != "application/json":
            raise Refusal(400, "invalid_request", "content-type: JSON only")
        parsed: Json = json.loads(data)
        return parsed

    def _trouble(self, trouble: TokenTrouble) -> None:
        self._wait(trouble.seconds)
        if trouble.status:
            error = {"error": {"message": "trouble", "code": trouble.code or None}}
            self._send(trouble.status, trouble.body or json.dumps(error).encode(), "text/plain")
        else:
            self.close_connection = True

    def _wait(self, seconds: float) -> None:
        """Wait, unless the client leaves meanwhile."""
        if seconds and select.select([self.connection], [], [], seconds)[0]:
            raise ConnectionAbortedError

    def _refuse(self, refusal: Refusal) -> None:
        if not isinstance(refusal, Pending):
            self.auth.refusals.append(refusal.fault)
        self._send(refusal.status, json.dumps(refusal.body).encode(), "application/json")

    def _send(self, status: int, data: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        fields = {"content-type": kind, "content-length": str(len(data)), **headers}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
