"""The beginning of a reply is kept from the client until it says something, so that a failure in it
can still be answered by another attempt: by the line's policy, as an HTTP status would be.

On mitmproxy's private API, as `transport`, which see.
"""

from collections.abc import Callable

from mitmproxy import http
from mitmproxy.proxy import events
from mitmproxy.proxy.layer import CommandGenerator
from mitmproxy.proxy.layers.http import SendHttp
from mitmproxy.proxy.layers.http import _events as wire

from addons.flow_data import without
from addons.transport.attempts import Attempts, Steps
from addons.transport.plan import Line
from translate import Opening, Refused

CUT = "the reply ended before it said anything"


class Held(Attempts):
    held: list[bytes]  # what has come of a reply that has not begun
    opening: Callable[[bytes], Opening]  # reads it

    @property
    def early(self) -> tuple[Callable[..., Steps], ...]:
        return *super().early, self.state_held

    def state_wait_for_response_headers(self, event: wire.ResponseHeaders) -> Steps:
        if line := self.line:  # before the hook makes the client's head of it
            self.opening = line.opening(event.response.headers.get("content-encoding", ""))
        yield from super().state_wait_for_response_headers(event)

    def start_response_stream(self) -> Steps:
        if self.line and self.flow.response and self.flow.response.status_code == 200:
            self.held, self.server_state = [], self.state_held
        else:
            yield from super().start_response_stream()

    def state_held(self, event: events.Event) -> Steps:
        said: Opening = "pending"
        if isinstance(event, wire.ResponseData):
            self.held.append(event.data)
            self.heard_of(event)
            said = self.opening(event.data)
        elif isinstance(event, wire.ResponseEndOfMessage):
            said = self.opening(b"")
        if isinstance(said, Refused):
            yield from self.refuse(said, event)
        elif said == "begun" or (
            isinstance(event, wire.ResponseEndOfMessage) and not (yield from self.repeats(CUT))
        ):
            yield from self.let_go(event)

    def let_go(self, event: events.Event) -> Steps:
        """All that was held, in one piece."""
        yield from super().start_response_stream()
        if self.held:
            data = wire.ResponseData(self.stream_id, b"".join(self.held))
            yield from super().state_stream_response_body(data)
        if not isinstance(event, wire.ResponseData):
            yield from super().state_stream_response_body(event)

    def refuse(self, why: Refused, event: events.Event) -> Steps:
        """From here on it is a reply with that status, and was never a stream."""
        if isinstance(event, wire.ResponseData):
            left = self.stream_id, "refused in its stream", wire.ErrorCode.CANCEL
            yield SendHttp(wire.RequestProtocolError(*left), self.context.server)
        self.flow.response = reply_of(why)
        self.server_state = self.state_consume_response_body
        yield from self.send_response()

    def state_stream_response_body(self, event: events.Event) -> Steps:
        self.heard_of(event)
        yield from super().state_stream_response_body(event)

    def heard_of(self, event: events.Event) -> None:
        if isinstance(event, wire.ResponseData) and (line := self.line):
            line.heard(event.data)

    def state_done(self, _: events.Event) -> Steps:
        yield from ()  # what a read brought behind a refusal

    def send_response(self, already_streamed: bool = False) -> Steps:
        line, came = self.line, self.server_state == self.state_consume_response_body
        if line and not already_streamed and self.flow.response:
            if came and (yield from self.fails(line, self.flow.response)):
                return
            if self.headed and self.flow.response.status_code >= 400:  # by a heartbeat: too late
                yield from self.fail(line, self.flow.response)
                already_streamed = True
        yield from super().send_response(already_streamed)

    def fails(self, line: Line, response: http.Response) -> CommandGenerator[bool]:
        """Whether a whole reply is a failure that leads to another attempt."""
        error: str | None = None
        if response.status_code == 200:
            said = opening_of(line, response.get_content(strict=False) or b"")
            if said == "begun":
                return False
            if isinstance(said, Refused):
                self.flow.response = reply_of(said)
            else:
                error = CUT
        elif response.status_code < 400:
            return False
        return (yield from self.repeats(error))

    def repeats(self, error: str | None) -> CommandGenerator[bool]:
        """As `tries_again`, with the reply still there where nobody does."""
        response = self.flow.response
        if (yield from self.tries_again(error)):
            return True
        self.flow.response = response
        return False

    def fail(self, line: Line, response: http.Response) -> Steps:
        wait = response.headers.get("retry-after")
        body = without(response.get_content(strict=False) or b"", line.secrets().values())
        tail = line.exchange.fail(response.status_code, body, wait).event
        yield SendHttp(wire.ResponseData(self.stream_id, tail), self.context.client)


def opening_of(line: Line, body: bytes) -> Opening:
    """The same of a whole body."""
    read = line.opening("")
    said = read(body) if body else "pending"
    return read(b"") if said == "pending" else said


def reply_of(why: Refused) -> http.Response:
    return http.Response.make(why.status, why.body, {"content-type": "application/json"})
