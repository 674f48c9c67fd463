"""A strict ChatGPT backend on loopback, with queued replies as tests/fake_provider.py has them.

    backend.accounts["token-0001"] = "account-0001"       # the accepted token; others get 401
    backend.reply(think("Hm."), say("Hello"))             # one reply, queued
    backend.reply(call("ls"), custom("exec", "text(1)"), picture("iVBORw0KGgo="))
    backend.reply(usage_limit(resets_in=600))       # or burst_error(), overload_event(), …
    backend.reply(say("par"), CUT)
    backend.fixed_replies["account-0001"] = usage_limit()   # to every later request

`url` stands for https://chatgpt.com/backend-api.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests import backend_replies
from tests.fake_provider import FakeProvider, ProviderHandler, ReceivedRequest
from tests.replies import Die, Error, Fail, Hold, Pause, Reply, error
from tests.strict_backend import body_fault, header_fault

Json = dict[str, Any]
BASE = "/backend-api"
RESPONSES = f"{BASE}/codex/responses"
COMPACT = f"{RESPONSES}/compact"
TOKEN, ACCOUNT = "backend-token-0001", "account-0001"
HOURS_5, WEEK = 300, 10_080  # minutes
MESSAGES = {401: "Provided authentication token is expired. Please try signing in again."}


def usage_limit(resets_in: int = 600, plan: str = "plus") -> Error:
    """The account has used up a window of its quota."""
    return Error(429, json.dumps({"error": _usage_limit_fields(resets_in, plan)}).encode())


def usage_limit_event(resets_in: int = 600, plan: str = "plus") -> Fail:
    """The same as an event of the stream: raine/claude-code-proxy#139."""
    return Fail(_usage_limit_fields(resets_in, plan), "error")


def _usage_limit_fields(resets_in: int, plan: str) -> Json:
    resets = {"resets_at": int(time.time()) + resets_in, "resets_in_seconds": resets_in}
    message = "The usage limit has been reached"
    return {"type": "usage_limit_reached", "message": message, "plan_type": plan, **resets}


def burst_error() -> Error:
    """Too many requests of the account at a time; over in seconds (codex-lb#2239)."""
    message = "Too many requests. Please try again later."
    return Error(429, json.dumps({"error": {"message": message}}).encode())


def overload_event() -> Fail:
    """An event of a stream with status 200, after `response.created`."""
    message = "Our servers are currently overloaded. Please try again later."
    return Fail({"code": "server_is_overloaded", "message": message})


def expired_token() -> Error:
    return error(401, MESSAGES[401], code="token_expired", type="invalid_request_error")


def catalog_entry(slug: str, priority: int = 1, **fields: Any) -> Json:
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
        **fields,
    }


class FakeBackend(FakeProvider):
    """The server; `responses_requests` are those to /codex/responses."""

    base = BASE
    paths = (RESPONSES, COMPACT)

    def reset(self) -> None:
        super().reset()
        self.key = None
        self.accounts = {TOKEN: ACCOUNT}  # access token → its account
        self.fixed_replies: dict[str, Error] = {}  # account → the reply to all of its requests
        self.catalog = [
            catalog_entry("gpt-5.5"),
            catalog_entry("gpt-6.1-sol", 2),
            catalog_entry("hidden", 3) | HIDDEN,
        ]
        self.quotas: dict[str, tuple[Json, Json]] = {}  # account → both windows: `quota_window`
        self.plan = "plus"
        self.turn_states = {("", "")}  # x-codex-turn-state → its account, as sent before

    def handler_class(self) -> type[ProviderHandler]:
        return BackendHandler

    @property
    def responses_requests(self) -> list[ReceivedRequest]:
        return [request for request in self.requests if request.path == RESPONSES]

    @property
    def etag(self) -> str:
        digest = hashlib.sha256(json.dumps(self.catalog).encode()).hexdigest()
        return f'W/"{digest[:16]}"'

    def account(self, request: ReceivedRequest) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.accounts.get(token) if scheme == "Bearer" else None

    def header_refusal(self, request: ReceivedRequest) -> Error | None:
        """The error for a request whose headers are refused, or None."""
        if (account := self.account(request)) is None:
            return expired_token()  # not recorded: tokens may expire in a test
        headers = {"content-type": "application/json", **request.headers}
        fault = header_fault(headers if request.method == "GET" else request.headers)
        if not fault and headers["chatgpt-account-id"] != account:
            fault = "chatgpt-account-id: another account's"
        if not fault and headers.get("cookie", account_cookie(account)) != account_cookie(account):
            fault = "cookie: another account's"
        state = headers.get("x-codex-turn-state", "")
        if not fault and (state, account if state else "") not in self.turn_states:
            fault = "x-codex-turn-state: never sent to this account"
        return self.record_refusal(fault) if fault else None

    def find_refusal(self, request: ReceivedRequest) -> Error | None:
        if problem := self.header_refusal(request):
            return problem
        account = str(self.account(request))
        compacts = request.path == COMPACT
        if not compacts and request.headers.get("accept") != "text/event-stream":
            return self.record_refusal("accept: must be text/event-stream")
        try:
            fault = body_fault(json.loads(request.raw), account, compacts=compacts)
        except ValueError:
            fault = "body: not JSON"
        return self.record_refusal(fault) if fault else self.fixed_replies.get(account)

    def record_refusal(self, fault: str) -> Error:
        self.refusals.append(fault)
        return Error(400, json.dumps({"detail": fault}).encode())

    def stream_steps(
        self, request: ReceivedRequest, reply: Reply
    ) -> Iterator[bytes | Pause | Hold | Die]:
        account = str(self.account(request))
        quota = {"plan_type": self.plan, "rate_limits": self.limits(account)}
        return backend_replies.stream(request.body["model"], reply, account, quota)

    def whole_body(self, request: ReceivedRequest, reply: Reply) -> Json:
        """The reply to /compact, the only request that is not streamed."""
        account = str(self.account(request))
        response = backend_replies.response(request.body["model"], reply, account)
        text = json.dumps(response["output"])
        sealed = backend_replies.seal(account, "compaction", text)
        messages = [item for item in request.items if item.get("role") == "user"]
        return {"output": [*messages, {"type": "compaction", "encrypted_content": sealed}]}

    def extra_headers(self, request: ReceivedRequest) -> list[tuple[str, str]]:
        """The headers of every answer to a known account."""
        if (account := self.account(request)) is None:
            return []
        headers = [("set-cookie", f"{account_cookie(account)}; path=/; Max-Age=1800; HttpOnly")]
        if not request.path.startswith(RESPONSES):
            return headers
        for name, window in zip(("primary", "secondary"), self.windows(account), strict=True):
            for field in ("used-percent", "window-minutes", "reset-at"):
                value = str(window[field.replace("-", "_")])
                headers.append((f"x-codex-{name}-{field}", value))
        state = request.headers.get("x-codex-turn-state") or f"turn-{len(self.requests)}"
        self.turn_states.add((state, account))
        return [
            *headers,
            ("x-codex-active-limit", "premium"),
            ("x-codex-credits-has-credits", "False"),
            ("x-codex-turn-state", state),
            ("x-models-etag", self.etag),
            ("openai-model", "gpt-served"),
        ]

    def windows(self, account: str) -> tuple[Json, Json]:
        return self.quotas.get(account, (quota_window(12), quota_window(34, WEEK)))

    def limits(self, account: str) -> Json:
        """The quota in the form of the stream's event."""
        primary, secondary = self.windows(account)
        is_used_up = max(primary["used_percent"], secondary["used_percent"]) >= 100
        both = {"primary": primary, "secondary": secondary}
        return {"allowed": not is_used_up, "limit_reached": is_used_up, **both}

    def usage(self, account: str) -> Json:
        """The quota in the form of the usage page."""
        primary, secondary = (_usage_page_window(window) for window in self.windows(account))
        limits = self.limits(account)
        limit = {name: limits[name] for name in ("allowed", "limit_reached")}
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


def quota_window(
    used_percent: float, minutes: int = HOURS_5, reset_at: int = 1_900_000_000
) -> Json:
    """One window of a quota."""
    return {"used_percent": used_percent, "window_minutes": minutes, "reset_at": reset_at}


def _usage_page_window(window: Json) -> Json:
    resets = {"reset_at": window["reset_at"], "reset_after_seconds": 600}
    seconds = window["window_minutes"] * 60
    return {"used_percent": window["used_percent"], "limit_window_seconds": seconds, **resets}


def account_cookie(account: str) -> str:
    """The cookie that an account gets, and sends back if it keeps cookies."""
    return f"__cf_bm=of-{account}"


class BackendHandler(ProviderHandler):
    def do_GET(self) -> None:
        backend = self.server.provider
        assert isinstance(backend, FakeBackend)
        request = self._read_request()
        backend.requests.append(request)
        url = urlsplit(self.path)
        if problem := backend.header_refusal(request):
            self._send_error(problem)
        elif url.path == f"{BASE}/wham/usage":
            self._send_json(backend.usage(str(backend.account(request))))
        elif url.path != f"{BASE}/codex/models":
            self._send_error(backend.record_refusal(f"path: {self.path}"))
        elif not parse_qs(url.query).get("client_version"):
            self._send_error(backend.record_refusal("client_version: Field required"))
        elif request.headers.get("if-none-match") == backend.etag:
            self._send_body(304, b"", {"etag": backend.etag})
        else:
            catalog = json.dumps({"models": backend.catalog}).encode()
            self._send_body(200, catalog, {"etag": backend.etag})


@contextlib.contextmanager
def running_backend() -> Iterator[FakeBackend]:
    """A backend for a `with` block, verified at its end."""
    backend = FakeBackend()
    try:
        yield backend
        backend.verify()
    finally:
        backend.close()
