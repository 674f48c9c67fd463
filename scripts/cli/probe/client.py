"""Sends one request to the endpoint, within bounds of time and size."""

import asyncio
import time
from types import TracebackType
from typing import Any, Self

import httpx2

from addons.http_client import client_options
from addons.routing import DIALECT_PATHS, exception_text
from addons.secret_mask import SecretMask
from translate import connection_fault, url_origin

from .chat_reply import RecordedReply
from .endpoint import Endpoint

WRONG_KEY = "mitmcodex-probe-wrong-key"


class EndpointClient:
    """A connection to one endpoint, without any relay between. For a `with` statement.

    A reply is read for `seconds` at most, and up to the size that the relay's own requests allow.
    """

    def __init__(self, endpoint: Endpoint, seconds: float) -> None:
        self._endpoint = endpoint
        self._seconds = seconds
        self._runner = asyncio.Runner()
        self._client: httpx2.AsyncClient | None = None

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self._client = httpx2.AsyncClient(**client_options(self._seconds))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._client:
            self._runner.run(self._client.aclose())
        self._runner.__exit__(kind, error, trace)

    def list_models(self) -> RecordedReply:
        return self._runner.run(self._send("GET", "/models", None, self._endpoint.headers))

    def send_chat(self, body: dict[str, Any], has_wrong_key: bool = False) -> RecordedReply:
        """The reply to a request of Chat Completions. Raises nothing but KeyboardInterrupt."""
        provider = self._endpoint.provider
        key = WRONG_KEY if has_wrong_key else self._endpoint.key
        headers = provider.headers | provider.key_headers(key)
        return self._runner.run(self._send("POST", DIALECT_PATHS["chat"], body, headers))

    async def _send(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> RecordedReply:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(method, path, body, headers)
        except (TimeoutError, httpx2.TimeoutException):
            origin = url_origin(self._endpoint.url)
            fault = f"{origin} gave no whole reply within {self._seconds:g} s"
            return RecordedReply(fault=fault, next_step="try it with more --seconds")
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            text = exception_text(error) or type(error).__name__
            fault, next_step = connection_fault(self._endpoint.url, text)
            return RecordedReply(fault=fault, next_step=next_step)

    async def _read(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
    ) -> RecordedReply:
        assert self._client  # noqa: S101 - for the type checker: the client is in use
        url, start = self._endpoint.url + path, time.monotonic()
        accept = {"accept": "application/json" if body is None else "text/event-stream"}
        async with self._client.stream(method, url, json=body, headers=accept | headers) as reply:
            pieces, first_byte_after = bytearray(), 0.0
            async for piece in reply.aiter_raw():
                first_byte_after = first_byte_after or time.monotonic() - start
                pieces += piece
        return RecordedReply(
            reply.status_code,
            SecretMask(self._endpoint.headers.values()).mask_content(bytes(pieces)),
            retry_after=parse_seconds(reply.headers.get("retry-after", "")),
            first_byte_after=first_byte_after,
        )


def parse_seconds(text: str) -> float | None:
    """The seconds of a Retry-After header; None for a date or nothing."""
    try:
        return max(float(text), 0.0)
    except ValueError:
        return None
