"""Relays as users start them for Chat clients: with a ChatGPT account that Codex's file has or that
the vault has, with a Chat provider, with both; strict fakes behind them all.

    home = houses.home("file")            # or any other of HOMES
    home.fake.reply(say("Hello"))
    … a client asks for home.model at home.relay …
    home.asked[0].prompt                  # what went up, whichever dialect it was in"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from addons.accounts.codex_auth_file import timestamp
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Book, Entry, Vault
from addons.launch import bindable
from tests.addons.gateway import Admitted
from tests.codex.driver import Relay
from tests.fake_auth import FakeAuth, User, person
from tests.fake_backend import FakeBackend
from tests.fake_provider import FakeProvider, Request, images, texts

Json = dict[str, Any]

ADA = person("ada")  # whose login every account here is


class Backend(FakeBackend):
    """Lets in who has a token of the login service's that is good."""

    def __init__(self, auth: FakeAuth) -> None:
        self.auth = auth
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.accounts = Admitted(self.auth)


@dataclass(frozen=True)
class Asked:
    """What a request to either upstream says."""

    system: str
    prompt: str  # text of the last user message
    outputs: list[str]  # of tools, in order
    pictures: list[str]
    body: Json


@dataclass(frozen=True)
class Home:
    """A relay, and what serves the model there."""

    relay: Relay
    fake: FakeProvider
    model: str

    @property
    def account(self) -> bool:
        return isinstance(self.fake, FakeBackend)

    @property
    def asked(self) -> list[Asked]:
        turns = self.fake.turns if isinstance(self.fake, FakeBackend) else self.fake.chats
        return [as_responses(one) if self.account else as_chat(one) for one in turns]


def as_chat(request: Request) -> Asked:
    pictures = [url for message in request.messages for url in images(message)]
    return Asked(request.system, request.prompt, request.outputs, pictures, request.body)


def as_responses(request: Request) -> Asked:
    said = [item for item in request.items if item.get("role") == "user"]
    parts = [part for item in said if isinstance(item["content"], list) for part in item["content"]]
    outputs = [item["output"] for item in request.items if item["type"].endswith("_output")]
    developer = [texts(item) for item in request.items if item.get("role") == "developer"]
    return Asked(
        "\n".join([request.body["instructions"], *developer]),
        texts(said[-1]) if said else "",
        [out if isinstance(out, str) else texts({"content": out}) for out in outputs],
        [part["image_url"] for part in parts if part["type"] == "input_image"],
        request.body,
    )


class Houses:
    """All of it; each relay is started when it is first wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.auth = FakeAuth(bindable(0))
        self.backend, self.provider = Backend(self.auth), FakeProvider()
        self.file, self.vault = folder / "auth.json", folder / "logins"
        self._relays: dict[str, Relay] = {}
        self._read: dict[str, int] = {}  # characters of the relays' logs that older tests saw

    def home(self, name: str) -> Home:
        kind, fake, model = HOMES[name]
        return Home(self.relay(kind), getattr(self, fake), model)

    def relay(self, kind: str) -> Relay:
        if kind not in self._relays:
            self._relays[kind] = Relay(self.folder / kind, **COMMON, **KINDS[kind](self))
        return self._relays[kind]

    def reset(self) -> None:
        self.backend.reset()
        self.provider.reset()
        self.auth.refusals.clear()
        self._read = {kind: len(relay.log) for kind, relay in self._relays.items()}

    def verify(self) -> None:
        """Fails for what was refused, or was not asked for, or what a relay complained of."""
        for fake in (self.backend, self.provider, self.auth):
            fake.verify()
        for kind, relay in self._relays.items():
            assert "Traceback" not in relay.log[self._read.get(kind, 0) :], kind

    def close(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(Relay.stop, self._relays.values()))
        for server in (self.backend, self.provider, self.auth):
            server.close()

    def log_in_anew(self, relay: Relay) -> None:
        """What was learned of an account is forgotten at its next login."""
        login = self.folder / "another.json"
        write_login(login, self.auth.give(ADA))
        with httpx2.Client(trust_env=False, timeout=10) as client:
            told = client.post(f"{relay.url}/auth/import", json={"path": str(login)})
        assert told.status_code == 200, told.text

    # where logins lie

    def in_file(self) -> dict[str, str]:
        if not self.file.exists():
            write_login(self.file, self.auth.give(ADA))
        return {"chatgpt_auth": str(self.file), "vault": str(self.folder / "none")}

    def in_vault(self) -> dict[str, str]:
        if not self.vault.exists():
            keep_login(self.vault, self.auth.give(ADA))
        return {"vault": str(self.vault)}

    def service(self) -> dict[str, str]:
        return {"chatgpt_base": self.backend.url, "chatgpt_issuer": self.auth.url}

    def upstream(self) -> dict[str, str]:
        return {"upstream": self.provider.url, "api_key": self.provider.key or ""}


# Each tries once, so that clients see what the upstream says.
COMMON = {"retries": "0", "heartbeat": "0.3", "openai_chat": "on", "account_limit": "100"}
KINDS: dict[str, Callable[[Houses], dict[str, str]]] = {
    "file": lambda houses: houses.service() | houses.in_file(),
    "file, too": lambda houses: houses.service() | houses.in_file(),
    "vault": lambda houses: houses.service() | houses.in_vault(),
    "provider": lambda houses: houses.service() | houses.upstream(),
    "both": lambda houses: houses.service() | houses.in_vault() | houses.upstream(),
}
HOMES = {  # name → relay, who serves there, a model that it has
    "file": ("file", "backend", "gpt-5.5"),
    "vault": ("vault", "backend", "gpt-5.5"),
    "provider": ("provider", "provider", "gpt-5.5"),
    "both-account": ("both", "backend", "chatgpt/gpt-5.5"),
    "both-provider": ("both", "provider", "gpt-5.5"),
}


def write_login(path: Path, tokens: Tokens, user: User = ADA) -> None:
    """As Codex keeps it."""
    kept = {"id_token": tokens.id, "access_token": tokens.access, "refresh_token": tokens.refresh}
    login = {"OPENAI_API_KEY": None, "tokens": {**kept, "account_id": user.workspace}}
    new = path.with_suffix(".new")
    new.write_text(json.dumps({**login, "last_refresh": timestamp(time.time())}))
    new.chmod(0o600)
    new.replace(path)


def keep_login(path: Path, tokens: Tokens) -> None:
    """As the relay keeps it."""

    def kept(book: Book) -> Book:
        return book.having(tokens.name, Entry(tokens))

    Vault(path).change(kept)
