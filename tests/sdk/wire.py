"""How the official SDK reaches a relay, and a record of the bodies that it reads."""

import functools
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx2

from tests.codex.driver import API_KEY, Relay

ConnectionMode = Literal["base_url", "proxy"]


@functools.cache
def trusting_context(authority: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority)


def http_client_options(relay: Relay, mode: ConnectionMode) -> dict[str, Any]:
    """For an HTTP client that reaches the relay in this mode, whatever the machine's settings."""
    proxy = relay.url if mode == "proxy" else None
    return {"trust_env": False, "verify": trusting_context(relay.ca), "proxy": proxy}


def sdk_options(relay: Relay, mode: ConnectionMode) -> dict[str, Any]:
    """For the SDK. By proxy its base URL is OpenAI's."""
    base = f"{relay.url}/v1" if mode == "base_url" else "https://api.openai.com/v1"
    return {"base_url": base, "api_key": API_KEY, "max_retries": 0, "timeout": 20}


class RecordedBody(httpx2.SyncByteStream):
    """A body that is recorded while it is read."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.data = inner, b""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.inner:
            self.data += piece
            yield piece

    def close(self) -> None:
        self.inner.close()
