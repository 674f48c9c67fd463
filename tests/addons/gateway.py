"""The relay with accounts, and behind it a strict login service and a strict backend."""

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
from addons.demo_provider import DemoProvider
from addons.endpoints.addon import Endpoints
from addons.exchange.addon import Translator
from addons.ingress.addon import Ingress
from addons.storage.response_store import ResponseStore
from addons.transport.addon import Transport
from tests import fake_auth, fake_backend
from tests.addons.proxy import Answer, Client, proxy
from tests.fake_auth import FakeAuth, User
from tests.fake_backend import FakeBackend

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]


class IssuedTokens(dict[str, str]):
    """Token → workspace, for the login service's valid tokens; the backend accepts these."""

    def __init__(self, auth: FakeAuth) -> None:
        super().__init__()
        self.auth = auth

    def get(self, token: str, default: Any = None) -> Any:
        user = self.auth.access_tokens.get(token)
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
    folder: Path, *users: User, extra_addons: tuple[Any, ...] = (), **options: Any
) -> AsyncIterator[Gateway]:
    """A running gateway with these users logged in."""
    chain = [Config(), Transport(), Ingress(), ResponseStore(), Accounts(), Endpoints()]
    chain += [Translator(), DemoProvider(), *extra_addons]
    with fake_auth.running_auth() as auth, fake_backend.running_backend() as backend:
        backend.accounts = IssuedTokens(auth)
        all_options = {
            "relay_chatgpt_base": backend.url,
            "relay_chatgpt_issuer": auth.url,
            "relay_vault": str(folder / "logins"),
            "relay_store": str(folder / "kept.db"),
            **options,
        }
        async with proxy(*chain, **all_options) as (master, port):
            for user in users:
                login = auth.issue_tokens(user)
                await addon.account_pool().add_login(
                    replace(login, issued_at=login.issued_at - 600)
                )
            yield Gateway(port, master, auth, backend)
