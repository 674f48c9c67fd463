"""A login that expires under load is renewed once: a refresh token is good for one use."""

import asyncio
import time

import httpx2
import pytest

from addons.accounts.codex_auth_file import CodexFile
from addons.accounts.tokens import Tokens
from addons.accounts.vault import Slot, Vault
from tests.codex.driver import Relay
from tests.house import ADA, Houses, keep_login, write_login
from tests.replies import say

MANY = 50
BODY = {"model": "chatgpt/gpt-5.5", "messages": [{"role": "user", "content": "Hello."}]}


def expire(houses: Houses, place: str) -> Tokens:
    """The login there has come to its end, for the service as well."""
    old = houses.auth.give(ADA, lifetime=0.2)
    write_login(houses.file, old) if place == "file" else keep_login(houses.vault, old)
    houses.auth.revoke(old.access)
    time.sleep(0.25)
    return old


def kept(houses: Houses, place: str, name: str) -> Tokens:
    home = CodexFile(houses.file) if place == "file" else Slot(Vault(houses.vault), name)
    return home.read()


async def ask(relays: list[Relay], times: int) -> list[httpx2.Response]:
    """All at once, one after the other relay."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(trust_env=False, timeout=20, limits=limits) as client:
        urls = [f"{relays[n % len(relays)].url}/v1/chat/completions" for n in range(times)]
        return await asyncio.gather(*(client.post(url, json=BODY) for url in urls))


@pytest.mark.parametrize(
    ("place", "kinds"),
    [("vault", ["vault"]), ("vault", ["vault", "both"]), ("file", ["file", "file, too"])],
    ids=["one process", "two on a vault", "two on Codex's file"],
)
def test_many_requests_at_its_end(place: str, kinds: list[str], houses: Houses) -> None:
    relays = [houses.relay(kind) for kind in kinds]
    old = expire(houses, place)
    before, houses.auth.delay = houses.auth.refreshes, 0.3
    for _ in range(MANY + len(relays)):
        houses.backend.reply(say("Hello."))
    try:
        replies = asyncio.run(ask(relays, MANY))
        replies += asyncio.run(ask(relays, len(relays)))  # and later none of them asks again
    finally:
        houses.auth.delay = 0.0
    assert [reply.status_code for reply in replies] == [200] * len(replies)
    assert houses.auth.refreshes == before + 1
    new = kept(houses, place, old.name)
    assert new.refresh in houses.auth.fresh and new.refresh != old.refresh
    used = {turn.headers["authorization"] for turn in houses.backend.turns}
    assert used == {f"Bearer {new.access}"}
