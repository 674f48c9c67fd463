"""An exchange on its flow: how its reply reaches the client, and what is told of it."""

import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from mitmproxy import http

from addons import ledger, metrics, record, shelf, transport
from addons.answer import answer
from addons.rows import Rows
from addons.turn import Turn, complain
from translate import Exchange, Reply


@dataclass(frozen=True)
class Carried:
    """An exchange on its flow."""

    made: Exchange
    turn: Turn
    rows: Rows

    def facts(self) -> ledger.Facts:
        told = ledger.facts(self.made, self.rows, self.turn.notes, self.turn.learned(self.made))
        return {**told, "url": self.turn.choice.target.url}

    def leave(self, reply: http.Response | None) -> None:
        """Another request takes over; this one's leg has ended."""
        why = f"status {reply.status_code}" if reply else "no answer"
        ledger.tell(self.rows.client, {**self.facts(), "status": ledger.LEFT, "error": why})
        shelf.put(*self.rows.leave(reply))

    def end(self, reply: http.Response | None) -> None:
        """The flow has ended; `reply` is the upstream's, where it did not stream."""
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
    made, heard = carried.made, carried.rows.heard
    packed = encoding.lower() in ("gzip", "deflate")  # we ask for identity; some compress anyway
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None

    def fed(data: bytes) -> bytes | list[bytes]:
        if data:
            heard(data)
        try:
            plain = unpacked(unpack, data) if unpack else data
        except zlib.error as error:
            return made.cut(f"its {encoding} is broken: {error}") or []
        events = made.feed(plain) if plain else b""
        return (events if data else events + made.feed(b"")) or []

    return fed


def unpacked(unpack: "zlib._Decompress", data: bytes) -> bytes:
    return unpack.decompress(data) if data else unpack.flush()


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
    # header values are latin-1 without control characters, and servers limit their length
    return {k: "".join(c if " " <= c <= "~" else "?" for c in v)[:2000] for k, v in told.items()}
