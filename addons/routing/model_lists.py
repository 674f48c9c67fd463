"""The model list of an upstream and the catalog of the installed Codex, fetched on demand and
cached."""

import asyncio
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2

from addons.config import current_settings
from addons.http_client import client_options
from addons.routing.codex_cli import codex_output
from translate import (
    DEFAULT_CATALOG_TEMPLATE,
    CatalogModel,
    find_catalog_template,
    parse_model_list,
)

LIST_TIMEOUT = 5.0  # s; Codex waits about as long for its catalog
FAILURE_TTL = 60.0  # s until the relay asks an upstream again that gave no list
MAX_LISTS = 32  # clients may bring many keys, and each has a list of its own

type StringMap = Mapping[str, str]
type ModelList = list[CatalogModel] | None

NO_QUERY: StringMap = MappingProxyType({})
# By URL and credentials. A result has the monotonic time at which the list is fetched again.
_lists: dict[tuple[str, frozenset[tuple[str, str]]], asyncio.Task[tuple[ModelList, float]]] = {}
_bundled: list[asyncio.Task[dict[str, Any] | None]] = []


async def cached_model_list(
    url: str, credentials: StringMap, query: StringMap = NO_QUERY
) -> ModelList:
    """The models that the upstream at this base URL lists for these headers; None if it gives no
    list. Never raises."""
    key = (url, frozenset(credentials.items()))
    task = _lists.pop(key, None)
    if task is None or (task.done() and task.result()[1] <= time.monotonic()):
        task = asyncio.create_task(fetch_model_list(url, credentials, query))
    _lists[key] = task  # at the end: the list that was not used for longest is dropped first
    while len(_lists) > MAX_LISTS:
        del _lists[next(iter(_lists))]
    return (await asyncio.shield(task))[0]


async def fetch_model_list(
    url: str, credentials: StringMap, query: StringMap
) -> tuple[ModelList, float]:
    """The list, None if there is none, and the monotonic time until which this is valid. Never
    raises."""
    headers = {"accept": "application/json", **credentials}
    options = client_options(LIST_TIMEOUT)
    try:
        async with asyncio.timeout(LIST_TIMEOUT), httpx2.AsyncClient(**options) as client:
            reply = await client.get(f"{url}/models", headers=headers, params=query)
            models = parse_model_list(reply.raise_for_status().content)
    except (httpx2.HTTPError, OSError, ValueError):
        return None, time.monotonic() + FAILURE_TTL
    return models, time.monotonic() + current_settings().models_ttl


async def catalog_template() -> dict[str, Any]:
    """The entry of Codex's catalog on which the entries of other models are based. Asks the
    installed Codex once."""
    if not _bundled:
        _bundled.append(asyncio.create_task(bundled_template()))
    return await asyncio.shield(_bundled[0]) or {
        **DEFAULT_CATALOG_TEMPLATE,
        "base_instructions": base_instructions(),
    }


async def bundled_template() -> dict[str, Any] | None:
    """The template in the catalog of the `codex` on PATH. Never raises."""
    try:
        return find_catalog_template(await codex_output("debug", "models", "--bundled"))
    except ValueError:
        return None


@cache
def base_instructions() -> str:
    file = Path(__file__).parents[2] / "translate" / "providers" / "base_instructions.md"
    return file.read_text("utf-8")


def forget_model_lists() -> None:
    """Empty the caches. Requests that are under way go on until their timeout."""
    _lists.clear()
    for task in _bundled:
        task.cancel()
    _bundled.clear()
