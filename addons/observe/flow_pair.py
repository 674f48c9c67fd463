"""Two flows an exchange: what the client sees, which is the flow itself, and its upstream leg.

The leg is a flow of its own: the Chat request as it went up and the provider's own reply. Both grow
while the reply streams, in mitmweb and the console; both are in files that `-w` and HAR write.
"""

import asyncio
import re
import time
from typing import Any
from weakref import WeakValueDictionary

from mitmproxy import connection, ctx
from mitmproxy.http import HTTPFlow, Request, Response

from addons.config import addon as config
from addons.ingress import redaction as redact

LEG, OTHER = "relay.leg", "relay.other"  # in the metadata: which of the two, and the other's id
CLIENT, UPSTREAM = "client", "upstream"
TIMES = "relay.times"  # in the metadata: pairs of ms since the request went up, and bytes by then
# The first piece of a text or a call, as each dialect tells a client of it. A chunk may hold a role
# alone, or what we sealed; and what a client had said, which events say again, is no such piece.
SPOKEN = re.compile(
    rb"^event: [\w.]+\.delta$"
    rb'|"delta":\{(?:"role":"assistant",)?"(?:content|reasoning_content|refusal)":"(?!")'
    rb'|"delta":\{(?:"role":"assistant",)?"(?:tool_calls|function_call|images)":',
    re.M,
)
PACE = 0.5  # s between two updates of a row that grows
STEP, MANY = 5, 2000  # ms between two times that are kept; more where there are many

_known: WeakValueDictionary[str, HTTPFlow] = WeakValueDictionary()
_writing: set[asyncio.Task[None]] = set()


class Growing:
    """A body that streams, and when its pieces came."""

    def __init__(self, flow: HTTPFlow, begin: float) -> None:
        self.flow, self._begin = flow, begin
        self._pieces: list[bytes] = []
        self.size = 0
        self._times: list[list[int]] = []

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        at = int((time.time() - self._begin) * 1000)
        if not self._times or at - self._times[-1][0] >= STEP * (1 + len(self._times) // MANY):
            self._times.append([at, self.size])
        self.size += len(data)

    def clear(self) -> None:
        self._pieces, self.size, self._times = [], 0, []

    def show(self) -> HTTPFlow:
        """The flow, brought up to date."""
        if self.flow.response and self._pieces:
            self._pieces = [b"".join(self._pieces)]
            self.flow.response.raw_content = self._pieces[0]
            self.flow.metadata[TIMES] = list(self._times)
        return self.flow


class Rows:
    """The two rows of one request upstream. `heard` and `told` are called for every piece.

    Where nobody looks, in a mitmdump that writes no file, there is no second row and no body.
    """

    def __init__(self, flow: HTTPFlow, request: Request) -> None:
        self.sent = time.time()
        self.client = flow
        self.first = 0.0  # when the upstream's first byte came
        self.token = 0.0  # when the client had the first piece of a text or a call
        self._growing: tuple[Growing, Growing] | None = None
        self._shown = 0.0
        if viewer() or watched():
            upstream = leg(flow, request)
            self._growing = Growing(flow, self.sent), Growing(upstream, self.sent)
            register(flow, upstream)
            if view := viewer():
                view.add([upstream])

    def begins(self, head: Response) -> None:
        """The upstream's head came; a later one is of another attempt."""
        self.first = self.first or time.time()
        if self._growing:
            _, upstream = self._growing
            upstream.clear()
            upstream.flow.server_conn = self.client.server_conn
            upstream.flow.response = response = head.copy()
            response.stream = False
            if config.settings().redact:
                redact.hide(response, {})

    def heard(self, data: bytes) -> None:
        """Bytes of the upstream's."""
        if self._growing:
            self._growing[1].add(data)
            self._grow()

    def told(self, data: bytes) -> None:
        """Bytes for the client."""
        if not self.token and SPOKEN.search(data):
            self.token = time.time()
        if self._growing:
            self._growing[0].add(data)
            self._grow()

    def _grow(self) -> None:
        now = time.monotonic()
        if now - self._shown > PACE and (view := viewer()):
            self._shown = now
            view.update([body.show() for body in self._growing or ()])

    def close(self, reply: Response | None) -> list[HTTPFlow]:
        """The exchange has ended, with this reply of the upstream's where it did not stream; gives
        its rows."""
        client = self._growing and self._growing[0].show()
        return [*filter(None, [client]), *self.leave(reply)]

    def leave(self, reply: Response | None) -> list[HTTPFlow]:
        """The upstream leg has ended, and the client's row goes on with another; gives the leg."""
        streamed = self._growing and self._growing[1].size  # is shown as it came
        if reply and not streamed:
            self.begins(reply)
        if not self._growing:
            return []
        client, upstream = self._growing[0].flow, self._growing[1].show()
        self._growing = None
        if upstream.response is None:
            upstream.error = client.error
        else:
            upstream.response.timestamp_end = time.time()
        if watched():
            # a task would begin at once, and be in the file before the client's row
            asyncio.get_running_loop().call_soon(write, upstream)
        elif view := viewer():
            view.update([upstream])
        return [upstream]


def leg(flow: HTTPFlow, request: Request) -> HTTPFlow:
    """The upstream's row of this flow."""
    server = connection.Server(address=(request.host, request.port))
    made = HTTPFlow(flow.client_conn, server)
    made.request = request.copy()
    if config.settings().redact:  # a table of the user's may have one in its headers
        redact.hide(made.request, {})
    made.request.timestamp_start = made.request.timestamp_end = time.time()
    made.comment = f"upstream leg of {flow.request.pretty_url}"
    return made


def register(client: HTTPFlow, upstream: HTTPFlow) -> None:
    client.metadata |= {LEG: CLIENT, OTHER: upstream.id}
    upstream.metadata |= {LEG: UPSTREAM, OTHER: client.id}
    remember(client)
    remember(upstream)


def remember(flow: HTTPFlow) -> None:
    """So that `other` finds it; for flows that were read from a file, too."""
    if LEG in flow.metadata:
        _known[flow.id] = flow


def other(flow: HTTPFlow) -> HTTPFlow | None:
    """The second row of a flow's exchange, unless it is gone."""
    return _known.get(str(flow.metadata.get(OTHER)))


def viewer() -> Any:
    """The list of flows of mitmweb and the console; mitmdump has none."""
    addons: Any = ctx.master.addons  # untyped in mitmproxy
    return addons.get("view")


def watched() -> bool:
    """Whether anything but that list takes flows in: a file is written."""
    return bool(ctx.options.save_stream_file or ctx.options.hardump)


def write(flow: HTTPFlow) -> None:
    """Through the hooks of a whole flow, as one that is read, so that `-w` and HAR have it."""
    master: Any = ctx.master  # untyped in mitmproxy
    task = asyncio.get_running_loop().create_task(master.load_flow(flow))
    _writing.add(task)
    task.add_done_callback(_writing.discard)


class Remember:
    """Flows that are read from a file find each other again."""

    def request(self, flow: HTTPFlow) -> None:
        remember(flow)

    def response(self, flow: HTTPFlow) -> None:
        remember(flow)
