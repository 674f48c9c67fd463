"""What an addon says about a flow that `transport` is to carry: its `Line`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mitmproxy.http import HTTPFlow, Request, Response

if TYPE_CHECKING:
    from translate import Exchange, Opening

LINE = "relay_line"  # an attribute: metadata holds plain data only
SSE = {"content-type": "text/event-stream", "cache-control": "no-cache"}


def sse_head() -> Response:
    return Response.make(200, b"", {**SSE, "transfer-encoding": "chunked"})


@dataclass(frozen=True)
class Line:
    """How one exchange is carried. Its request is read whole, its streamed reply is chunked."""

    exchange: "Exchange"
    request: Request  # what goes up in place of the flow's own, which stays as the client sent it
    silence: float  # s without a byte from upstream until the attempt counts as dead
    retry: Callable[[HTTPFlow, str | None, int], float | None]  # s to wait, None: give up
    # puts another request, on a line of its own, in place of one that failed; whether it did
    another: Callable[[HTTPFlow, str | None], bool] = lambda flow, error: False
    told: Callable[[bytes], None] = lambda data: None  # hears all that the client gets in a stream
    heartbeat: float = 0.0  # s without a byte to the client until a heartbeat is sent; 0: never
    head: Callable[[], Response] = sse_head  # for a heartbeat that precedes the reply
    # headers for upstream, asked for when an attempt leaves
    secrets: Callable[[], Mapping[str, str]] = field(default=dict, repr=False)
    ready: Callable[[], bool] = lambda: True  # whether another attempt can leave; `silence` at most
    # content-encoding → reads a reply's first bytes, b"" at its end, while they are "pending"
    opening: "Callable[[str], Callable[[bytes], Opening]]" = lambda encoding: lambda data: "begun"
    heard: Callable[[bytes], None] = lambda data: None  # hears all that upstream says in a stream


def attach(flow: HTTPFlow, line: Line) -> None:
    """Put the flow on a line, at the latest in its `request` hook."""
    # Not in a WeakKeyDictionary: a line that refers to its flow would keep both for ever.
    vars(flow)[LINE] = line


def detach(flow: HTTPFlow) -> None:
    """The exchange is over: what refers to its flow goes, so that both are freed at once."""
    vars(flow).pop(LINE, None)


def line_of(flow: HTTPFlow) -> Line | None:
    line: Line | None = vars(flow).get(LINE)
    return line
