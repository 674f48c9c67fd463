"""The relay with accounts, before a strict login service and a strict backend."""

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mitmproxy.tools.dump import DumpMaster

from addons.accounts import addon
from addons.accounts.addon import Accounts
from addons.config.addon import Config
from addons.demo_provider import Demo
from addons.endpoints.auth import Web
from addons.endpoints.codex_calls import Codex
from addons.endpoints.models import Listing
from addons.endpoints.stored_responses import Stored
from addons.exchange.addon import Translator
from addons.ingress.access import Guard
from addons.ingress.routes import Routes
from addons.storage.response_store import Store
from addons.transport.relay_stream import Transport
from tests import fake_auth, fake_backend
from tests.addons.proxy import Answer, Client, proxy
from tests.fake_auth import FakeAuth, User
from tests.fake_backend import FakeBackend

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


class Admitted(dict[str, str]):
    """Whom the backend lets in: who has a token of the login service's that is good."""

    def __init__(self, auth: FakeAuth) -> None:
        super().__init__()
        self.auth = auth

    def get(self, token: str, default: Any = None) -> Any:
        user = self.auth.access.get(token)
        return user.workspace if user else default


@dataclass
class Gateway:
    port: int
    master: DumpMaster
    auth: FakeAuth
    backend: FakeBackend

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> Answer:
        async with Client.connect(self.port) as client:
            return await client.ask(path, json.dumps(body).encode(), **headers)

    async def get(self, path: str, **headers: str) -> Answer:
        async with Client.connect(self.port) as client:
            client.send(path, b"", method="GET", **headers)
            await client.head()
            await client.rest()
            return client.answer

    async def chat(self, model: str = "gpt-5.5", **fields: Any) -> Answer:
        return await self.post(CHAT, {"model": model, "messages": HI, **fields})


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, *users: User, more: tuple[Any, ...] = (), **options: Any
) -> AsyncIterator[Gateway]:
    """With these users logged in."""
    chain = [Config(), Transport(), Guard(), Routes(), Store(), Stored(), Accounts(), Web()]
    chain += [Codex(), Listing(), Translator(), Demo(), *more]
    with fake_auth.running() as auth, fake_backend.running() as backend:
        backend.accounts = Admitted(auth)
        chosen = {
            "relay_chatgpt_base": backend.url,
            "relay_chatgpt_issuer": auth.url,
            "relay_vault": str(folder / "logins"),
            "relay_store": str(folder / "kept.db"),
            **options,
        }
        async with proxy(*chain, **chosen) as (master, port):
            for user in users:
                login = auth.give(user)
                await addon.pool().add(replace(login, at=login.at - 600))
            yield Gateway(port, master, auth, backend)
