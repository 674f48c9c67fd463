"""The usage page: asked for rarely, and only for accounts that somebody uses or looks at."""

import asyncio
from hashlib import sha256

import httpx2

from addons.accounts import quota
from addons.accounts.member import Member
from addons.accounts.pool import Pool
from addons.http_client import session
from addons.identity import ORIGINATOR

EVERY, SPREAD = 900.0, 300.0  # s between two questions: 15 to 20 minutes, each at its own pace
PATIENCE = 10.0  # s for one
PAGES = ("wham/usage", "codex/usage")  # the second where there is no first


def due(member: Member, looked: float, now: float) -> bool:
    """Whether to ask for this one. `looked`: Unix seconds at which somebody looked at them all."""
    draw = int.from_bytes(sha256(member.name.encode()).digest()[-4:]) / 2**32
    heard = max(member.asked, member.quota.at if member.quota else 0.0)
    wanted = now - max(member.used, looked) < EVERY
    return member.dead is None and wanted and now - heard >= EVERY + draw * SPREAD


async def ask(pool: Pool, base: str, now: float) -> None:
    """Ask for all that are due, one after the other. Never raises."""
    members = [one for one in pool.roster.members.values() if due(one, pool.looked, now)]
    for member in members:
        member.asked = now
        if (seat := await pool.seat(member)) is None:
            continue
        try:
            page = await fetched(base, seat.secrets())
        except (httpx2.HTTPError, OSError, ValueError, RecursionError):
            continue  # the next replies tell it as well
        member.hear(quota.of_usage(page, now))


async def fetched(base: str, secrets: dict[str, str]) -> dict[str, object]:
    """The page as JSON. Raises httpx2.HTTPError, OSError, ValueError, RecursionError."""
    headers = {**secrets, "accept": "application/json", "originator": ORIGINATOR}
    async with asyncio.timeout(PATIENCE), httpx2.AsyncClient(**session(PATIENCE)) as client:
        for page in PAGES:
            reply = await client.get(f"{base}/{page}", headers=headers)
            if reply.status_code != 404:
                break
    told = reply.raise_for_status().json()
    if not isinstance(told, dict):
        raise ValueError("no usage page")
    return told
