"""An exchange on its flow: how its reply reaches the client, and what is told of it."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

from mitmproxy import http

from addons.accounts.lease import Seat
from addons.exchange import codex_headers as passed
from addons.exchange.fallback import Turn, complain
from addons.ingress import cors
from addons.ingress.local_reply import answer
from addons.observe import corpus as record
from addons.observe import exchange_record as ledger
from addons.observe import metrics, shelf
from addons.observe.flow_pair import Rows
from addons.transport import relay_stream as transport
from translate import Exchange, Handshake, Opening, Reply


@dataclass(frozen=True)
class Carried:
    """An exchange on its flow."""

    made: Exchange
    turn: Turn
    rows: Rows

    def facts(self) -> ledger.Facts:
        told = ledger.facts(self.made, self.rows, self.turn.notes, self.turn.learned(self.made))
        choice, seat = self.turn.choice, self.seat
        return told | {
            "url": choice.target.url,
            "account": seat.account.id if seat else None,
            "variant": asdict(choice.variant) if choice.variant else None,
        }

    @property
    def seat(self) -> Seat | None:
        """At the account that serves, where it is one."""
        return self.turn.choice.target.seat

    def begin(self) -> None:
        if self.seat:
            self.seat.begin()

    def heard(self, head: http.Response) -> None:
        """The head of a reply, of whichever attempt."""
        if self.seat:
            self.seat.heard(head)

    def left(self, reply: http.Response | None) -> None:
        """The account's part is over; it learns from what it refused."""
        if self.seat:
            if reply and reply.status_code != 200:
                self.seat.refused(reply.status_code, reply.get_content(strict=False) or b"")
            if self.made.limits:
                self.seat.limits(self.made.limits)
            self.seat.end()

    def leave(self, reply: http.Response | None) -> None:
        """Another request takes over; this one's leg has ended."""
        why = f"status {reply.status_code}" if reply else "no answer"
        ledger.tell(self.rows.client, {**self.facts(), "status": ledger.LEFT, "error": why})
        self.left(reply)
        shelf.put(*self.rows.leave(reply))

    def end(self, reply: http.Response | None) -> None:
        """The flow has ended; `reply` is the upstream's, where it did not stream."""
        self.left(reply)
        self.turn.release()
        flow, told = self.rows.client, self.facts()
        ledger.write(flow, told)
        logging.info(ledger.line(told))
        shelf.put(*self.rows.close(reply))
        record.keep(self.made, told)
        metrics.count(told)
        if flow.response:  # which is kept, and must not keep the exchange
            flow.response.stream = bool(flow.response.stream)
        complain(self.made)


def whole(made: Exchange, reply: http.Response) -> Reply:
    """A reply that did not stream, as the client gets it."""
    body = reply.get_content(strict=False) or b""
    if reply.status_code == 200:
        return made.whole(body)
    return made.fail(reply.status_code, body, reply.headers.get("retry-after"))


def stream(carried: Carried, encoding: str) -> Callable[[bytes], bytes | list[bytes]]:
    """`feed` as mitmproxy calls it: encoded bytes in, and [] for nothing, as b"" would end it."""
    made, unpack = carried.made, unpacker(encoding)

    def fed(data: bytes) -> bytes | list[bytes]:
        try:
            plain = unpack(data)
        except zlib.error as error:
            return made.cut(f"its {encoding} is broken: {error}") or []
        events = made.feed(plain) if plain else b""
        return (events if data else events + made.feed(b"")) or []

    return fed


def opening(encoding: str) -> Callable[[bytes], Opening]:
    """The same bytes, in which nothing has been told to anybody: whether a reply has begun."""
    unpack, handshake = unpacker(encoding), Handshake()

    def said(data: bytes) -> Opening:
        try:
            plain = unpack(data)
        except zlib.error:  # which `stream` tells
            return "begun"
        told = handshake.feed(plain) if plain else "pending"
        return handshake.feed(b"") if told == "pending" and not data else told

    return said


def unpacker(encoding: str) -> Callable[[bytes], bytes]:
    """We ask for identity; some compress anyway. b"" at the end. Raises zlib.error."""
    if encoding.lower() not in ("gzip", "deflate"):
        return lambda data: data
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
    return lambda data: unpack.decompress(data) if data else unpack.flush()


def head(flow: http.HTTPFlow, carried: Carried) -> http.Response:
    """The head of a streamed reply."""
    response = transport.sse_head()
    response.headers.update(report(flow, carried))
    if flow.request.is_http10:  # knows no chunks; the connection's end is the reply's
        del response.headers["transfer-encoding"]
    return response


def deliver(flow: http.HTTPFlow, carried: Carried, reply: Reply) -> None:
    answer(flow, reply.status, reply.body, **reply.headers, **report(flow, carried))


def report(flow: http.HTTPFlow, carried: Carried) -> dict[str, str]:
    """What the client is told beside the reply: who answered, how fast, and what did not cross."""
    made, received = carried.made, flow.request.timestamp_end or flow.request.timestamp_start
    told = {
        "x-relay-provider": made.provider.name,
        "x-relay-model": made.model,
        "server-timing": ledger.timing(carried.rows, received),
    }
    if made.dropped:
        told["x-relay-dropped"] = ", ".join(made.dropped)
    if flow.response:
        told |= passed.down(flow.response.headers, made.provider)
    told |= cors.allowed(flow)
    # header values are latin-1 without control characters, and servers limit their length
    return {k: "".join(c if " " <= c <= "~" else "?" for c in v)[:2000] for k, v in told.items()}
