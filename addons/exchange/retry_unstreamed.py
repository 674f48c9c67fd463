"""The retry of a request whose stream came without one event: once, for a reply in one piece."""

import asyncio
import re

from mitmproxy.http import HTTPFlow, Request

from addons.flow_data import with_headers
from addons.large_work import run_sized
from addons.transport import EMPTY_STREAM, RetryPolicy
from translate import Exchange

STREAM_WORD = re.compile(rb"\bstream", re.I)  # not "upstream"


class RetryUnstreamed:
    """The retry policy of a request that asks for a stream. After a stream without one event, the
    next attempt asks for a whole reply, as some servers give the reason only then: llama-cpp-python
    answers a full context with an empty stream. If the whole reply is good, the client gets it.
    """

    def __init__(self, exchange: Exchange, request: Request, policy: RetryPolicy) -> None:
        self._exchange, self._policy = exchange, policy
        self._streamed_request = request
        self._unstreamed_request: asyncio.Task[Request] | None = None
        self._is_unstreamed = False  # whether the next attempt asks for a whole reply

    @property
    def next_request(self) -> Request:
        """The request of the next attempt; while the one for a whole reply is not written, that
        with a stream."""
        task = self._unstreamed_request if self._is_unstreamed else None
        is_written = task and task.done() and not task.cancelled() and not task.exception()
        return task.result() if task and is_written else self._streamed_request

    def is_ready(self) -> bool:
        """Whether the next attempt can leave."""
        return self._unstreamed_request is None or self._unstreamed_request.done()

    def retry_delay(self, flow: HTTPFlow, error: str | None, attempt: int) -> float | None:
        """Seconds until the next attempt; None: no further attempt."""
        if error == EMPTY_STREAM and self._unstreamed_request is None:
            self._unstreamed_request = asyncio.create_task(self._without_stream())
            self._is_unstreamed = True
            return 0.0
        if self._is_unstreamed and is_about_streams(flow, error):
            error = EMPTY_STREAM  # the server has no whole replies: its refusal is not the reason
        self._is_unstreamed = False
        return self._policy(flow, error, attempt)

    async def _without_stream(self) -> Request:
        """Raises LargeWorkUnavailable."""
        request, exchange = self._streamed_request, self._exchange
        body = await run_sized(len(exchange.body), lambda: exchange.unstreamed_body)
        headers = request.headers.copy()
        headers["content-length"] = str(len(body))
        request = with_headers(request, headers)
        request.raw_content = body
        return request


def is_about_streams(flow: HTTPFlow, error: str | None) -> bool:
    """Whether the reply refuses a request because it does not stream."""
    reply = None if error else flow.response
    return bool(reply and STREAM_WORD.search(reply.get_content(strict=False) or b""))
