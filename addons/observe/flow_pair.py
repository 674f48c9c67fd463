"""The two flows of an exchange: the client's, which mitmproxy made, and the upstream's.

The relay makes the upstream's flow: the request that it sent, and the provider's own reply. In
mitmweb and the console, both flows grow while the reply streams; `-w` and HAR files have both.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from mitmproxy import connection, ctx
from mitmproxy.http import HTTPFlow, Request, Response

from addons.config import current_settings
from addons.ingress import mask_headers
from translate import printable

# Keys of a flow's metadata
PAIR_SIDE = "relay.leg"  # CLIENT_SIDE or UPSTREAM_SIDE
PARTNER_ID = "relay.other"  # the id of the other flow
PIECE_TIMES = (
    "relay.times"  # [[ms since the request was sent up, offset of a piece in the body], …]
)

CLIENT_SIDE, UPSTREAM_SIDE = "client", "upstream"

VIEW_INTERVAL = 0.5  # s between two updates of a flow that grows
# Bytes of both flows; from here on the interval grows with them. mitmweb computes the SHA-256 of
# every body at each update: 30 MB take 40 ms, for which all streams wait.
LARGE_VIEW = 2_000_000
TIME_STEP = 5  # ms: the shortest time between two pieces that have a time of their own
MANY_TIMES = 2000  # after so many recorded times, TIME_STEP is doubled, then tripled …

_flows_by_id: WeakValueDictionary[str, HTTPFlow] = WeakValueDictionary()
_saving_tasks: set[asyncio.Task[None]] = set()
# The flows of each ended exchange with their bytes, the oldest first.
_ended_flows: deque[tuple[tuple[HTTPFlow, ...], int]] = deque()


class StreamedBody:
    """The body of a reply that streams, and the times of its pieces."""

    def __init__(self, flow: HTTPFlow, start: float) -> None:
        self.flow, self._start = flow, start
        self._pieces: list[bytes] = []
        self._times: list[list[int]] = []
        self.size = 0

    def append_piece(self, data: bytes, now: float) -> None:
        self._pieces.append(data)
        ms = int((now - self._start) * 1000)
        step = TIME_STEP * (1 + len(self._times) // MANY_TIMES)
        if not self._times or ms - self._times[-1][0] >= step:
            self._times.append([ms, self.size])
        self.size += len(data)

    def clear_pieces(self) -> None:
        self._pieces, self.size, self._times = [], 0, []

    def update_flow(self) -> HTTPFlow:
        """Put the body so far on the flow, and return the flow."""
        if self.flow.response and self._pieces:
            self._pieces = [b"".join(self._pieces)]
            self.flow.response.raw_content = self._pieces[0]
            self.flow.metadata[PIECE_TIMES] = list(self._times)
        return self.flow


class FlowPair:
    """The two flows of one request to the upstream, and the times for the record.

    A mitmdump that writes no file shows neither the second flow nor bodies. There is no second flow
    then, and no body is kept, so that a piece costs next to nothing.
    """

    def __init__(self, flow: HTTPFlow, request: Request) -> None:
        self.sent_at, self._monotonic_start = time.time(), time.monotonic()
        self.client_flow = flow
        self.first_byte_at = 0.0  # when the head of the upstream's reply arrived; 0 before that
        self.first_token_at = 0.0  # when the client got the first text, reasoning or call
        # The client's and the upstream's body; None if nothing shows them.
        self._bodies: tuple[StreamedBody, StreamedBody] | None = None
        self._viewed_at = 0.0
        view = view_addon()
        if view is not None or is_saving_flows():
            upstream = upstream_flow(flow, request)
            start = self.sent_at
            self._bodies = StreamedBody(flow, start), StreamedBody(upstream, start)
            register_pair(flow, upstream)
            if view is not None:
                view.add([upstream])

    def current_time(self) -> float:
        """Unix seconds, by a clock that is set when the request is sent up: it never jumps, so that
        no duration is negative."""
        return self.sent_at + time.monotonic() - self._monotonic_start

    def on_upstream_head(self, head: Response) -> None:
        """The head of the upstream's reply has arrived. A further attempt replaces the reply."""
        self.first_byte_at = self.first_byte_at or self.current_time()
        if self._bodies:
            _, upstream = self._bodies
            upstream.clear_pieces()
            upstream.flow.server_conn = self.client_flow.server_conn
            upstream.flow.response = response = head.copy()
            response.stream = False
            if current_settings().redact:
                mask_headers(response, {})

    def on_upstream_bytes(self, data: bytes) -> None:
        """A piece of the upstream's reply has arrived."""
        if self._bodies:
            now = self.current_time()
            self._bodies[1].append_piece(data, now)
            self._update_view(now)

    def on_client_bytes(self, data: bytes, output_started: bool) -> None:
        """A piece of the reply is sent to the client; `output_started`: as the exchange says."""
        if output_started and not self.first_token_at:
            self.first_token_at = self.current_time()
        if self._bodies:
            now = self.current_time()
            self._bodies[0].append_piece(data, now)
            self._update_view(now)

    @property
    def flows(self) -> list[HTTPFlow]:
        """The client's and the upstream's flow, until the pair has ended; [] if nothing shows
        them."""
        return [body.flow for body in self._bodies or ()]

    def _update_view(self, now: float) -> None:
        pause = abs(now - self._viewed_at)
        if pause <= VIEW_INTERVAL or pause <= view_interval(self.flows):
            return
        if (view := view_addon()) is not None:
            self._viewed_at = now
            view.update([body.update_flow() for body in self._bodies or ()])

    def end_pair(self, reply: Response | None) -> None:
        """The exchange has ended; `reply`: the upstream's, if it did not stream."""
        if self._bodies:
            self._bodies[0].update_flow()
        self.end_upstream(reply)

    def end_upstream(self, reply: Response | None) -> None:
        """The upstream's flow has ended; the client's may go on with another upstream.

        `reply`: the upstream's, if it did not stream.
        """
        if self._bodies is None:
            if reply:
                self.on_upstream_head(reply)
            return
        if reply and not self._bodies[1].size:  # else the flow has the reply already
            self.on_upstream_head(reply)
        upstream = self._bodies[1].update_flow()
        self._bodies = None
        if upstream.response is None:
            upstream.error = self.client_flow.error
        else:
            upstream.response.timestamp_end = time.time()
        if is_saving_flows():
            # Later, so that mitmproxy writes the client's flow first.
            asyncio.get_running_loop().call_soon(save_flow, upstream)
        elif (view := view_addon()) is not None:
            view.update([upstream])


def upstream_flow(flow: HTTPFlow, request: Request) -> HTTPFlow:
    """A new flow with the request that goes up for a client's flow."""
    server = connection.Server(address=(request.host, request.port))
    upstream = HTTPFlow(flow.client_conn, server)
    upstream.request = request.copy()
    if current_settings().redact:  # a provider's table may contain headers with a key
        mask_headers(upstream.request, {})
    upstream.request.timestamp_start = upstream.request.timestamp_end = time.time()
    upstream.comment = f"upstream leg of {printable(flow.request.pretty_url)}"
    return upstream


def register_pair(client: HTTPFlow, upstream: HTTPFlow) -> None:
    client.metadata |= {PAIR_SIDE: CLIENT_SIDE, PARTNER_ID: upstream.id}
    upstream.metadata |= {PAIR_SIDE: UPSTREAM_SIDE, PARTNER_ID: client.id}
    index_flow(client)
    index_flow(upstream)


def index_flow(flow: HTTPFlow) -> None:
    """Make a flow that belongs to a pair known to `partner_flow`."""
    known_flow = _flows_by_id.get(flow.id)
    is_taken = known_flow is not None and known_flow.live and not flow.live  # a file's id
    if PAIR_SIDE in flow.metadata and not is_taken:
        _flows_by_id[flow.id] = flow


def partner_flow(flow: HTTPFlow) -> HTTPFlow | None:
    """The other flow of the pair; None if there is none, or it was removed."""
    return _flows_by_id.get(str(flow.metadata.get(PARTNER_ID)))


class FlowPairIndex:
    """The addon that makes pairs from a file known to `partner_flow`."""

    def request(self, flow: HTTPFlow) -> None:
        index_flow(flow)

    def response(self, flow: HTTPFlow) -> None:
        index_flow(flow)


# Views and files of flows


def view_interval(flows: Sequence[HTTPFlow]) -> float:
    """Seconds between two updates of these flows while they grow."""
    return VIEW_INTERVAL * max(1.0, sum(map(body_size, flows)) / LARGE_VIEW)


def view_addon() -> Any:
    """The list of flows in mitmweb and the console; None in mitmdump.

    Compare it with None, as an empty list is false."""
    addons: Any = ctx.master.addons  # untyped in mitmproxy
    return addons.get("view")


def is_saving_flows() -> bool:
    """Whether flows are written to a file."""
    return bool(ctx.options.save_stream_file or ctx.options.hardump)


def save_flow(flow: HTTPFlow) -> None:
    """Send an upstream's flow through all hooks like a flow from a file, so that it is written."""
    master: Any = ctx.master  # untyped in mitmproxy
    task = asyncio.get_running_loop().create_task(master.load_flow(flow))
    _saving_tasks.add(task)
    task.add_done_callback(_saving_tasks.discard)


def keep_ended_flows(*flows: HTTPFlow) -> None:
    """Count the flows of an ended exchange, and remove the oldest exchanges beyond `relay_keep`.

    mitmweb and the console would keep every flow for ever.
    """
    view, limits = view_addon(), current_settings().keep
    if view is None:
        return
    _ended_flows.append((flows, sum(map(body_size, flows))))
    total = sum(size for _, size in _ended_flows)
    max_bytes = limits.megabytes << 20
    while len(_ended_flows) > limits.exchanges or (total > max_bytes and len(_ended_flows) > 1):
        oldest, size = _ended_flows.popleft()
        total -= size
        view.remove([flow for flow in oldest if view.get_by_id(flow.id)])


def body_size(flow: HTTPFlow) -> int:
    """Bytes of both bodies."""
    messages = (flow.request, flow.response)
    return sum(len(message.raw_content or b"") for message in messages if message)
