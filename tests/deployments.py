"""Relays as users start them for Chat clients, with strict fakes behind them: on a ChatGPT account
whose login is in Codex's file or in the vault, on a Chat provider, and on both.

    deployment = deployments.deployment("file")     # or another key of DEPLOYMENTS
    deployment.upstream.reply(say("Hello"))
    … a client asks for deployment.model at deployment.relay …
    deployment.upstream_requests[0].prompt          # what went up, in either dialect
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from addons.accounts.codex_auth_file import format_iso_time
from addons.accounts.tokens import Tokens
from addons.accounts.vault import SavedLogin, Vault, VaultContents
from addons.launch import available_port
from tests.addons.gateway import IssuedTokens
from tests.codex.driver import Relay
from tests.fake_auth import FakeAuth, User, make_user
from tests.fake_backend import FakeBackend
from tests.fake_provider import FakeProvider, ReceivedRequest, image_urls, text_of

Json = dict[str, Any]

ADA = make_user("ada")  # the user of every account here


class AccountBackend(FakeBackend):
    """A backend that accepts the valid tokens of a login service."""

    def __init__(self, auth: FakeAuth) -> None:
        self.auth = auth
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.accounts = IssuedTokens(self.auth)


@dataclass(frozen=True)
class UpstreamRequest:
    """What a request to an upstream contains, read from either dialect."""

    system: str
    prompt: str  # text of the last user message
    outputs: list[str]  # of tools, in order
    pictures: list[str]
    body: Json


@dataclass(frozen=True)
class Deployment:
    """A relay, and the fake upstream that serves `model` there."""

    relay: Relay
    upstream: FakeProvider
    model: str

    @property
    def has_account(self) -> bool:
        return isinstance(self.upstream, FakeBackend)

    @property
    def upstream_requests(self) -> list[UpstreamRequest]:
        if isinstance(self.upstream, FakeBackend):
            return [read_responses_request(request) for request in self.upstream.responses_requests]
        return [read_chat_request(request) for request in self.upstream.posted_requests]


def read_chat_request(request: ReceivedRequest) -> UpstreamRequest:
    pictures = [url for message in request.messages for url in image_urls(message)]
    return UpstreamRequest(request.system, request.prompt, request.outputs, pictures, request.body)


def read_responses_request(request: ReceivedRequest) -> UpstreamRequest:
    messages = [item for item in request.items if item.get("role") == "user"]
    parts = [
        part for item in messages if isinstance(item["content"], list) for part in item["content"]
    ]
    outputs = [item["output"] for item in request.items if "output" in item]
    developer = [text_of(item) for item in request.items if item.get("role") == "developer"]
    return UpstreamRequest(
        "\n".join([request.body["instructions"], *developer]),
        text_of(messages[-1]) if messages else "",
        [x if isinstance(x, str) else text_of({"content": x}) for x in outputs],
        [part["image_url"] for part in parts if part["type"] == "input_image"],
        request.body,
    )


class Deployments:
    """The fakes, and the relays before them; each relay starts when a test first asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.auth = FakeAuth(available_port(0))
        self.backend, self.provider = AccountBackend(self.auth), FakeProvider()
        self.codex_auth_file, self.vault = folder / "auth.json", folder / "logins"
        self._relays: dict[str, Relay] = {}
        self._log_lengths: dict[str, int] = {}  # of the logs when this test began

    def deployment(self, name: str) -> Deployment:
        kind, upstream, model = DEPLOYMENTS[name]
        return Deployment(self.relay_named(kind), getattr(self, upstream), model)

    def relay_named(self, kind: str) -> Relay:
        if kind not in self._relays:
            settings = COMMON_SETTINGS | RELAY_SETTINGS[kind](self)
            self._relays[kind] = Relay(self.folder / kind, **settings)
        return self._relays[kind]

    def reset(self) -> None:
        self.backend.reset()
        self.provider.reset()
        self.auth.refusals.clear()
        self._log_lengths = {kind: len(relay.log) for kind, relay in self._relays.items()}

    def verify(self) -> None:
        """Fail if a fake refused a request or has a reply left, or a relay logged a traceback."""
        for server in (self.backend, self.provider, self.auth):
            server.verify()
        for kind, relay in self._relays.items():
            assert "Traceback" not in relay.log[self._log_lengths.get(kind, 0) :], kind

    def close(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Relay.stop, self._relays.values()))
        for server in (self.backend, self.provider, self.auth):
            server.close()

    def renew_login(self, relay: Relay) -> None:
        """Log the account in again, so that the relay forgets its limits."""
        login = self.folder / "another.json"
        write_codex_login(login, self.auth.issue_tokens(ADA))
        with httpx2.Client(trust_env=False, timeout=10) as client:
            reply = client.post(f"{relay.url}/auth/import", json={"path": str(login)})
        assert reply.status_code == 200, reply.text

    # settings of the relays

    def file_settings(self) -> dict[str, str]:
        if not self.codex_auth_file.exists():
            write_codex_login(self.codex_auth_file, self.auth.issue_tokens(ADA))
        return {"chatgpt_auth": str(self.codex_auth_file), "vault": str(self.folder / "none")}

    def vault_settings(self) -> dict[str, str]:
        if not self.vault.exists():
            write_vault_login(self.vault, self.auth.issue_tokens(ADA))
        return {"vault": str(self.vault)}

    def service_settings(self) -> dict[str, str]:
        return {"chatgpt_base": self.backend.url, "chatgpt_issuer": self.auth.url}

    def provider_settings(self) -> dict[str, str]:
        return {"upstream": self.provider.url, "api_key": self.provider.key or ""}


# No relay retries, so that clients see the upstream's first reply.
COMMON_SETTINGS = {"retries": "0", "heartbeat": "0.6", "openai_chat": "on", "account_limit": "100"}
RELAY_SETTINGS: dict[str, Callable[[Deployments], dict[str, str]]] = {
    "file": lambda fakes: fakes.service_settings() | fakes.file_settings(),
    "file, too": lambda fakes: fakes.service_settings() | fakes.file_settings(),
    "vault": lambda fakes: fakes.service_settings() | fakes.vault_settings(),
    "provider": lambda fakes: fakes.service_settings() | fakes.provider_settings(),
    "both": lambda fakes: (
        fakes.service_settings() | fakes.vault_settings() | fakes.provider_settings()
    ),
}
DEPLOYMENTS = {  # name → key of RELAY_SETTINGS, upstream, a model of it
    "file": ("file", "backend", "gpt-5.5"),
    "vault": ("vault", "backend", "gpt-5.5"),
    "provider": ("provider", "provider", "gpt-5.5"),
    "both-account": ("both", "backend", "chatgpt/gpt-5.5"),
    "both-provider": ("both", "provider", "gpt-5.5"),
}


def write_codex_login(path: Path, tokens: Tokens, user: User = ADA) -> None:
    """Write an auth.json as Codex does, in one step."""
    names = ("id_token", "access_token", "refresh_token")
    fields = {name: getattr(tokens, name) for name in names} | {"account_id": user.workspace}
    login = {"OPENAI_API_KEY": None, "tokens": fields}
    new = path.with_suffix(".new")
    new.write_text(json.dumps({**login, "last_refresh": format_iso_time(time.time())}))
    new.chmod(0o600)
    new.replace(path)


def write_vault_login(path: Path, tokens: Tokens) -> None:
    """Write a login into a vault, as the relay does."""

    def with_login(contents: VaultContents) -> VaultContents:
        return contents.with_login(tokens.account_name, SavedLogin(tokens))

    Vault(path).update_contents(with_login)
