"""The model servers that run on this machine, on their usual ports."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from addons.relay_health import LOOPBACK_HOSTS, read_health
from addons.routing import KEY_STATUSES, check_upstream
from translate import Provider

SEARCH_TIMEOUT = 0.9  # s for the lists of all servers together


@dataclass(frozen=True)
class LocalServer:
    provider: Provider
    url: str
    model_count: int | None  # None: it asks for a key


async def find_local_servers(
    providers: Mapping[str, Provider], timeout: float = SEARCH_TIMEOUT
) -> list[LocalServer]:
    """Those that list models, or ask for a key, within `timeout` s, in the table's order."""
    places = list(local_places(providers.values()))
    answers = (local_server(provider, url, timeout) for provider, url in places)
    return [server for server in await asyncio.gather(*answers) if server]


def local_places(providers: Iterable[Provider]) -> Iterable[tuple[Provider, str]]:
    for provider in providers:
        for url in provider.base_urls:
            if urlsplit(url).hostname in LOOPBACK_HOSTS:
                yield provider, url


async def local_server(provider: Provider, url: str, timeout: float) -> LocalServer | None:
    check = await check_upstream(url, {}, timeout=timeout)
    if check.models is None and check.status not in KEY_STATUSES:
        return None
    if await asyncio.to_thread(is_relay, url):
        return None
    return LocalServer(provider, url, None if check.models is None else len(check.models))


def is_relay(url: str) -> bool:
    """Whether a relay listens there: its usual port is llama.cpp's, too."""
    return read_health(urlsplit(url).port or 80) is not None
