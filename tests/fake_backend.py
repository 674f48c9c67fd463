"""A strict ChatGPT backend on loopback, scripted by the test as tests/fake_provider.py is.

    backend.accounts["token-0001"] = "account-0001"       # whom it lets in; none else (401)
    backend.reply(think("Hm."), say("Hello"))             # one reply, queued
    backend.reply(call("ls"), custom("exec", "text(1)"), picture("iVBORw0KGgo="))
    backend.reply(usage_limit(resets_in=600))       # or burst(), overloaded(), spent()
    backend.reply(say("par"), CUT)
    backend.always["account-0001"] = usage_limit()        # all that this account gets from now on

`url` is what stands for https://chatgpt.com/backend-api. Facts: CHATGPT_BACKEND.md."""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import backend_replies
from tests.fake_provider import FakeProvider, Handler, Request
from tests.replies import Die, Error, Fail, Hold, Pause, Reply, error
from tests.strict_backend import refusal, unfit

Json = dict[str, Any]
BASE = "/backend-api"
RESPONSES = f"{BASE}/codex/responses"
COMPACT = f"{RESPONSES}/compact"
TOKEN, ACCOUNT = "backend-token-0001", "account-0001"
HOURS_5, WEEK = 300, 10_080  # minutes
MESSAGES = {401: "Provided authentication token is expired. Please try signing in again."}


def usage_limit(resets_in: int = 600, plan: str = "plus") -> Error:
    """The account has used up its window."""
    return Error(429, json.dumps({"error": _spent(resets_in, plan)}).encode())


def spent(resets_in: int = 600, plan: str = "plus") -> Fail:
    """The same inside the stream, as raine/claude-code-proxy#139 saw it."""
    return Fail(_spent(resets_in, plan), "error")


def _spent(resets_in: int, plan: str) -> Json:
    resets = {"resets_at": int(time.time()) + resets_in, "resets_in_seconds": resets_in}
    message = "The usage limit has been reached"
    return {"type": "usage_limit_reached", "message": message, "plan_type": plan, **resets}


def burst() -> Error:
    """Too many requests of the account at a time: over in seconds (codex-lb#2239)."""
    message = "Too many requests. Please try again later."
    return Error(429, json.dumps({"error": {"message": message}}).encode())


def overloaded() -> Fail:
    """Inside a 200, after `response.created`."""
    message = "Our servers are currently overloaded. Please try again later."
    return Fail({"code": "server_is_overloaded", "message": message})


def expired() -> Error:
    return error(401, MESSAGES[401], code="token_expired", type="invalid_request_error")


def model(slug: str, priority: int = 1, **more: Any) -> Json:
    """An entry of the model list."""
    efforts = ("low", "medium", "high", "xhigh")
    levels = [{"effort": effort, "description": effort} for effort in efforts]
    return {
        "slug": slug,
        "display_name": slug,
        "description": "A model.",
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": levels,
        "service_tiers": [{"id": "priority", "name": "Fast", "description": "1.5x speed"}],
        "context_window": 272_000,
        "visibility": "list",
        "supported_in_api": True,
        "priority": priority,
        "shell_type": "unified_exec",
        "support_verbosity": True,
        "truncation_policy": {"mode": "tokens", "limit": 10_000},
        "experimental_supported_tools": [],
        "base_instructions": "",
        **more,
    }


class FakeBackend(FakeProvider):
    """`turns` are the requests to /codex/responses; `requests` are all."""

    base = BASE
    paths = (RESPONSES, COMPACT)

    def reset(self) -> None:
        super().reset()
        self.key = None
        self.accounts = {TOKEN: ACCOUNT}  # access token → its account
        self.always: dict[str, Error] = {}  # account → what it gets, whatever it asks
        self.catalog = [model("gpt-5.5"), model("gpt-6.1-sol", 2), model("hidden", 3) | HIDDEN]
        self.quotas: dict[str, tuple[Json, Json]] = {}  # account → both windows, as `window` has it
        self.plan = "plus"
        self.states = {("", "")}  # x-codex-turn-state that were given out, and to which account

    def handler(self) -> type[Handler]:
        return BackendHandler

    @property
    def turns(self) -> list[Request]:
        return [request for request in self.requests if request.path == RESPONSES]

    @property
    def etag(self) -> str:
        digest = hashlib.sha256(json.dumps(self.catalog).encode()).hexdigest()
        return f'W/"{digest[:16]}"'

    def account(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.accounts.get(token) if scheme == "Bearer" else None

    def admit(self, request: Request) -> Error | None:
        """The refusal of a request of whatever kind by its headers."""
        if (account := self.account(request)) is None:
            return expired()  # tokens expire: the test did not go wrong by that alone
        headers = {"content-type": "application/json", **request.headers}
        fault = unfit(headers if request.method == "GET" else request.headers)
        if not fault and headers["chatgpt-account-id"] != account:
            fault = "chatgpt-account-id: another account's"
        if not fault and headers.get("cookie", cookie(account)) != cookie(account):
            fault = "cookie: another account's"
        state = headers.get("x-codex-turn-state", "")
        if not fault and (state, account if state else "") not in self.states:
            fault = "x-codex-turn-state: never given out to this account"
        return self.refuse(fault) if fault else None

    def judge(self, request: Request) -> Error | None:
        if problem := self.admit(request):
            return problem
        account = str(self.account(request))
        compacts = request.path == COMPACT
        if not compacts and request.headers.get("accept") != "text/event-stream":
            return self.refuse("accept: must be text/event-stream")
        try:
            fault = refusal(json.loads(request.raw), account, compacts=compacts)
        except ValueError:
            fault = "body: not JSON"
        return self.refuse(fault) if fault else self.always.get(account)

    def refuse(self, fault: str) -> Error:
        self.refusals.append(fault)
        return Error(400, json.dumps({"detail": fault}).encode())

    def steps(self, request: Request, reply: Reply) -> Iterator[bytes | Pause | Hold | Die]:
        account = str(self.account(request))
        told = {"plan_type": self.plan, "rate_limits": self.limits(account)}
        return backend_replies.stream(request.body["model"], reply, account, told)

    def whole(self, request: Request, reply: Reply) -> Json:
        """Of /compact, the one request that is not streamed."""
        account = str(self.account(request))
        made = backend_replies.response(request.body["model"], reply, account)
        text = json.dumps(made["output"])
        sealed = backend_replies.seal(account, "compaction", text)
        kept = [item for item in request.items if item.get("role") == "user"]
        return {"output": [*kept, {"type": "compaction", "encrypted_content": sealed}]}

    def heads(self, request: Request) -> list[tuple[str, str]]:
        """What every answer to a known account has."""
        if (account := self.account(request)) is None:
            return []
        found = [("set-cookie", f"{cookie(account)}; path=/; Max-Age=1800; HttpOnly")]
        if not request.path.startswith(RESPONSES):
            return found
        for name, window in zip(("primary", "secondary"), self.windows(account), strict=True):
            for field in ("used-percent", "window-minutes", "reset-at"):
                value = str(window[field.replace("-", "_")])
                found.append((f"x-codex-{name}-{field}", value))
        state = request.headers.get("x-codex-turn-state") or f"turn-{len(self.requests)}"
        self.states.add((state, account))
        return [
            *found,
            ("x-codex-active-limit", "premium"),
            ("x-codex-credits-has-credits", "False"),
            ("x-codex-turn-state", state),
            ("x-models-etag", self.etag),
            ("openai-model", "gpt-served"),
        ]

    def windows(self, account: str) -> tuple[Json, Json]:
        return self.quotas.get(account, (window(12), window(34, WEEK)))

    def limits(self, account: str) -> Json:
        """As the event in the stream tells it."""
        primary, secondary = self.windows(account)
        spent = max(primary["used_percent"], secondary["used_percent"]) >= 100
        both = {"primary": primary, "secondary": secondary}
        return {"allowed": not spent, "limit_reached": spent, **both}

    def usage(self, account: str) -> Json:
        """As the page tells it."""
        primary, secondary = (_page(window) for window in self.windows(account))
        told = self.limits(account)
        limit = {name: told[name] for name in ("allowed", "limit_reached")}
        both = {"primary_window": primary, "secondary_window": secondary}
        credits = {"has_credits": False, "unlimited": False, "balance": None}
        return {
            "plan_type": self.plan,
            "rate_limit": {**limit, **both},
            "code_review_rate_limit": None,
            "additional_rate_limits": [],
            "credits": credits,
        }


HIDDEN = {"visibility": "hide"}


def window(used_percent: float, minutes: int = HOURS_5, reset_at: int = 1_900_000_000) -> Json:
    """One window of a quota."""
    return {"used_percent": used_percent, "window_minutes": minutes, "reset_at": reset_at}


def _page(window: Json) -> Json:
    resets = {"reset_at": window["reset_at"], "reset_after_seconds": 600}
    seconds = window["window_minutes"] * 60
    return {"used_percent": window["used_percent"], "limit_window_seconds": seconds, **resets}


def cookie(account: str) -> str:
    """The one that an account gets, and sends back if it keeps cookies."""
    return f"__cf_bm=of-{account}"


class BackendHandler(Handler):
    def do_GET(self) -> None:
        backend = self.server.provider
        assert isinstance(backend, FakeBackend)
        request = self._request()
        backend.requests.append(request)
        url = urlsplit(self.path)
        if problem := backend.admit(request):
            self._send(problem)
        elif url.path == f"{BASE}/wham/usage":
            self._json(backend.usage(str(backend.account(request))))
        elif url.path != f"{BASE}/codex/models":
            self._send(backend.refuse(f"path: {self.path}"))
        elif not parse_qs(url.query).get("client_version"):
            self._send(backend.refuse("client_version: Field required"))
        elif request.headers.get("if-none-match") == backend.etag:
            self._body(304, b"", {"etag": backend.etag})
        else:
            listed = json.dumps({"models": backend.catalog}).encode()
            self._body(200, listed, {"etag": backend.etag})


@contextlib.contextmanager
def running() -> Iterator[FakeBackend]:
    """A backend for the time of a `with` block, verified at its end."""
    backend = FakeBackend()
    try:
        yield backend
        backend.verify()
    finally:
        backend.close()
