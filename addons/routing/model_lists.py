"""The model list of an upstream and the catalog of the installed Codex, fetched on demand and
cached."""

import asyncio
import time
from functools import cache
from pathlib import Path
from typing import Any

from addons.config import current_settings
from addons.routing.codex_cli import codex_output
from addons.routing.key_origin import KeyOrigin
from addons.routing.upstream_check import (
    CHECK_TIMEOUT,
    NO_QUERY,
    StringMap,
    UpstreamCheck,
    check_upstream,
)
from translate import (
    DEFAULT_CATALOG_TEMPLATE,
    CatalogModel,
    find_catalog_template,
    is_lasting_fault,
)

FAILURE_TTL = 60.0  # s until the relay asks an upstream again that gave no list
REFUSED_TTL = 2.0  # s, the same where nothing listens: the user may be starting the server
MAX_LISTS = 32  # clients may bring many keys, and each has a list of its own

type ModelList = list[CatalogModel] | None

# By URL and credentials. A result has the monotonic time at which the list is fetched again.
_checks: dict[
    tuple[str, frozenset[tuple[str, str]]], asyncio.Task[tuple[UpstreamCheck, float]]
] = {}
_bundled: list[asyncio.Task[dict[str, Any] | None]] = []


async def cached_check(
    url: str, credentials: StringMap, query: StringMap = NO_QUERY, key: KeyOrigin | None = None
) -> UpstreamCheck:
    """What the upstream at this base URL lists for these headers, or why it gives no list. `key`:
    where the key in the headers comes from. Never raises."""
    cache_key = (url, frozenset(credentials.items()))
    task = _checks.pop(cache_key, None)
    if task is None or (task.done() and task.result()[1] <= time.monotonic()):
        task = asyncio.create_task(new_check(url, credentials, query, key))
    _checks[cache_key] = task  # at the end: the list that was not used for longest is dropped first
    while len(_checks) > MAX_LISTS:
        del _checks[next(iter(_checks))]
    return (await asyncio.shield(task))[0]


def latest_models(url: str, credentials: StringMap) -> ModelList:
    """The models of the latest check with these headers, even if it has expired, without another
    request; None if there are none."""
    task = _checks.get((url, frozenset(credentials.items())))
    return task.result()[0].models if task and task.done() and not task.cancelled() else None


async def new_check(
    url: str, credentials: StringMap, query: StringMap, key: KeyOrigin | None
) -> tuple[UpstreamCheck, float]:
    """The check, and the monotonic time until which it is valid. Never raises."""
    check = await check_upstream(url, credentials, query=query, key=key, timeout=CHECK_TIMEOUT)
    if check.models is not None:
        lifetime = current_settings().models_ttl
    else:
        lifetime = REFUSED_TTL if is_lasting_fault(check.fault) else FAILURE_TTL
    return check, time.monotonic() + lifetime


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
    _checks.clear()
    for task in _bundled:
        task.cancel()
    _bundled.clear()
