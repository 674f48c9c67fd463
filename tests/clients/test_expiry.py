"""A login that expires under load is renewed once, as a refresh token is valid for one use."""

import asyncio
import time

import httpx2
import pytest

from addons.accounts.codex_auth_file import CodexAuthFile
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Vault, VaultLogin
from tests.codex.driver import Relay
from tests.deployments import ADA, Deployments, write_codex_login, write_vault_login
from tests.replies import say

REQUESTS = 50
BODY = {"model": "chatgpt/gpt-5.5", "messages": [{"role": "user", "content": "Hello."}]}


def let_login_expire(deployments: Deployments, store: str) -> Tokens:
    """Replace the login with one that has expired, for the service too."""
    old = deployments.auth.issue_tokens(ADA, lifetime=0.2)
    write_codex_login(deployments.codex_auth_file, old) if store == "file" else write_vault_login(
        deployments.vault, old
    )
    deployments.auth.revoke_access_token(old.access_token)
    time.sleep(0.25)
    return old


def saved_tokens(deployments: Deployments, store: str, name: str) -> Tokens:
    login = (
        CodexAuthFile(deployments.codex_auth_file)
        if store == "file"
        else VaultLogin(Vault(deployments.vault), name)
    )
    return login.read_tokens()


async def ask_relays(relays: list[Relay], times: int) -> list[httpx2.Response]:
    """All requests at the same time, spread over the relays."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(trust_env=False, timeout=20, limits=limits) as client:
        urls = [f"{relays[n % len(relays)].url}/v1/chat/completions" for n in range(times)]
        return await asyncio.gather(*(client.post(url, json=BODY) for url in urls))


@pytest.mark.parametrize(
    ("store", "kinds"),
    [("vault", ["vault"]), ("vault", ["vault", "both"]), ("file", ["file", "file, too"])],
    ids=["one process", "two on a vault", "two on Codex's file"],
)
def test_many_requests_renew_an_expired_login_once(
    store: str, kinds: list[str], deployments: Deployments
) -> None:
    relays = [deployments.relay_named(kind) for kind in kinds]
    old = let_login_expire(deployments, store)
    earlier_refreshes, deployments.auth.delay = deployments.auth.refreshes, 0.3
    for _ in range(REQUESTS + len(relays)):
        deployments.backend.reply(say("Hello."))
    try:
        replies = asyncio.run(ask_relays(relays, REQUESTS))
        replies += asyncio.run(ask_relays(relays, len(relays)))  # later requests renew nothing
    finally:
        deployments.auth.delay = 0.0
    assert [reply.status_code for reply in replies] == [200] * len(replies)
    assert deployments.auth.refreshes == earlier_refreshes + 1
    new = saved_tokens(deployments, store, old.account_name)
    assert (
        new.refresh_token in deployments.auth.refresh_tokens
        and new.refresh_token != old.refresh_token
    )
    used = {request.headers["authorization"] for request in deployments.backend.responses_requests}
    assert used == {f"Bearer {new.access_token}"}
