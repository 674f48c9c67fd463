"""The retry of a request whose stream came without one event: once, for a reply in one piece."""

import re

from mitmproxy.http import HTTPFlow, Request

from addons.flow_data import with_headers
from addons.transport import EMPTY_STREAM, RetryPolicy
from translate import Exchange


STREAM_WORD = re.compile(rb"\bstream", re.I)  # and no "upstream"


class RetryUnstreamed:
    """The retry policy of a request that asks for a stream. After a stream without one event, the
    next attempt asks for a whole reply, as some servers give the reason only then: llama-cpp-python
    answers a full context with an empty stream. If the whole reply is good, the client gets it.
    """

    def __init__(self, exchange: Exchange, request: Request, policy: RetryPolicy) -> None:
        self._exchange, self._policy = exchange, policy
        self._streamed_request = request
        self._unstreamed_request: Request | None = None
        self.next_request = request  # of the next attempt

    def retry_delay(self, flow: HTTPFlow, error: str | None, attempt: int) -> float | None:
        """Seconds until the next attempt; None: no further attempt."""
        if error == EMPTY_STREAM and self._unstreamed_request is None:
            self.next_request = self._unstreamed_request = self._without_stream()
            return 0.0
        if self.next_request is not self._streamed_request and is_about_streams(flow, error):
            error = EMPTY_STREAM  # the server has no whole replies: its refusal is not the reason
        self.next_request = self._streamed_request
        return self._policy(flow, error, attempt)

    def _without_stream(self) -> Request:
        request, body = self._streamed_request, self._exchange.unstreamed_body
        headers = request.headers.copy()
        headers["content-length"] = str(len(body))
        request = with_headers(request, headers)
        request.raw_content = body
        return request


def is_about_streams(flow: HTTPFlow, error: str | None) -> bool:
    """Whether the reply refuses a request because it does not stream."""
    reply = None if error else flow.response
    return bool(reply and STREAM_WORD.search(reply.get_content(strict=False) or b""))
