"""The upstream's model list and the installed Codex's catalog: fetched when needed, and kept."""

import asyncio
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2

from addons.config import addon as config
from addons.http_client import session
from addons.routing import installed
from translate.providers import catalog

PATIENCE = 5.0  # s; Codex waits about as long for its catalog
MISS = 60.0  # s until an upstream that gave no list is asked again
KEPT = 32  # lists; where clients bring their own keys, each has its own

type Fields = Mapping[str, str]
type Listed = list[catalog.Entry] | None

NONE: Fields = MappingProxyType({})
# By URL and the key's header; the result has the (monotonic) time at which it is asked for again.
_lists: dict[tuple[str, frozenset[tuple[str, str]]], asyncio.Task[tuple[Listed, float]]] = {}
_bundled: list[asyncio.Task[dict[str, Any] | None]] = []


async def listed(url: str, credentials: Fields, query: Fields = NONE) -> Listed:
    """What the upstream at this base URL lists to whom has these headers; None: it does not tell.
    Never raises."""
    whose = (url, frozenset(credentials.items()))
    task = _lists.pop(whose, None)
    if task is None or (task.done() and task.result()[1] <= time.monotonic()):
        task = asyncio.create_task(fetch(url, credentials, query))
    _lists[whose] = task  # the last one now, as the first one goes
    while len(_lists) > KEPT:
        del _lists[next(iter(_lists))]
    return (await asyncio.shield(task))[0]


async def fetch(url: str, credentials: Fields, query: Fields) -> tuple[Listed, float]:
    headers = {"accept": "application/json", **credentials}
    try:
        async with asyncio.timeout(PATIENCE), httpx2.AsyncClient(**session(PATIENCE)) as client:
            reply = await client.get(f"{url}/models", headers=headers, params=query)
            found = catalog.entries(reply.raise_for_status().content)
    except (httpx2.HTTPError, OSError, ValueError):
        return None, time.monotonic() + MISS
    return found, time.monotonic() + config.settings().models_ttl


async def base() -> dict[str, Any]:
    """What the entries of Codex's catalog have in common; asks the installed Codex once."""
    if not _bundled:
        _bundled.append(asyncio.create_task(bundled()))
    return await asyncio.shield(_bundled[0]) or {
        **catalog.TEMPLATE,
        "base_instructions": own_instructions(),
    }


async def bundled() -> dict[str, Any] | None:
    """The template in the catalog of the `codex` on PATH. Never raises."""
    try:
        return catalog.template(await installed.told("debug", "models", "--bundled"))
    except ValueError:
        return None


@cache
def own_instructions() -> str:
    file = Path(__file__).parents[2] / "translate" / "providers" / "base_instructions.md"
    return file.read_text("utf-8")


def forget() -> None:
    """What is under way ends within its time."""
    _lists.clear()
    for task in _bundled:
        task.cancel()
    _bundled.clear()
