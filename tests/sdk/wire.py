"""How the official SDK gets to a relay, and what comes to it."""

import functools
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx2

from tests.codex.driver import API_KEY, Relay

Way = Literal["base_url", "proxy"]


@functools.cache
def trust(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


def options(relay: Relay, way: Way) -> dict[str, Any]:
    """For an HTTP client that gets to the relay this way, whatever the machine is set up with."""
    proxy = relay.url if way == "proxy" else None
    return {"trust_env": False, "verify": trust(relay.ca), "proxy": proxy}


def settings(relay: Relay, way: Way) -> dict[str, Any]:
    """For the SDK; by proxy it believes that it talks to OpenAI."""
    base = f"{relay.url}/v1" if way == "base_url" else "https://api.openai.com/v1"
    return {"base_url": base, "api_key": API_KEY, "max_retries": 0, "timeout": 20}


class Kept(httpx2.SyncByteStream):
    """A body that is kept as it is read."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.data = inner, b""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.inner:
            self.data += piece
            yield piece

    def close(self) -> None:
        self.inner.close()
