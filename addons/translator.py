"""The exchange on a flow: the request goes up translated, the reply comes down translated."""

import logging
import zlib
from collections.abc import Callable
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from mitmproxy import http

from addons import config, routes, store, transport, upstream
from addons.answer import answer, refuse
from addons.routes import Route
from addons.turn import Turn, begin, complain
from translate import BadRequest, Exchange, Reply

RELAYED = frozenset({Route.RELAY, Route.COMPACT})
PATH = {"chat": "/chat/completions", "responses": "/responses"}


class Translator:
    """Relays the flows that routes.py marked; every other flow passes by."""

    def __init__(self) -> None:
        self._exchanges: WeakKeyDictionary[http.HTTPFlow, Exchange] = WeakKeyDictionary()
        self._turns: WeakKeyDictionary[http.HTTPFlow, Turn] = WeakKeyDictionary()

    async def request(self, flow: http.HTTPFlow) -> None:
        # A flow that is read or replayed has been translated once.
        if flow.response or flow.is_replay or not flow.live:
            return
        if routes.route_of(flow) not in RELAYED:
            return
        try:
            self.send(flow, await begin(flow))
        except BadRequest as error:
            refuse(flow, 400, error.message, error.code, error.param)
        except store.Unavailable as error:
            refuse(flow, 503, str(error), "store_unavailable")
        except Exception:  # without an answer here the flow would go on to where it was addressed
            logging.exception("codex-relay failed at a request")
            refuse(flow, 500, "codex-relay failed at this request; its log says how.")

    def send(self, flow: http.HTTPFlow, turn: Turn) -> None:
        """Put the flow on a line to the upstream. Raises BadRequest."""
        made = turn.exchange()
        flow.comment = story(made, turn)
        self._exchanges[flow], self._turns[flow] = made, turn

        def another(flow: http.HTTPFlow, error: str | None) -> bool:
            following = turn.after(made, None if error else flow.response)
            if following:
                self.send(flow, following)
            return following is not None

        request = addressed(flow.request, turn.choice.target, made)
        transport.attach(flow, line(flow, made, request, turn, another))

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        made = self._exchanges.get(flow)
        if made and made.streaming and flow.response and flow.response.status_code == 200:
            encoding = flow.response.headers.get("content-encoding", "")
            flow.response.http_version, flow.response.headers = "HTTP/1.1", head(flow, made).headers
            flow.response.stream = stream(made, encoding)

    def response(self, flow: http.HTTPFlow) -> None:
        made = self._exchanges.get(flow)
        if made is None or flow.response is None:
            return
        if flow.response.stream:
            if ending := made.feed(b""):  # mitmproxy streams no reply that its head calls empty
                flow.response.raw_content = ending
        elif flow.response.status_code == 200:
            deliver(flow, made, made.whole(flow.response.get_content(strict=False) or b""))
        else:
            body = flow.response.get_content(strict=False) or b""
            wait = flow.response.headers.get("retry-after")
            deliver(flow, made, made.fail(flow.response.status_code, body, wait))
        flow.comment = story(made, self._turns[flow])  # some things are lost on the way down
        complain(made)


def addressed(asked: http.Request, target: upstream.Target, made: Exchange) -> http.Request:
    """The request that goes up."""
    request = asked.copy()
    request.url = target.url + PATH[made.provider.dialect]
    request.headers = http.Headers()
    request.headers.update(
        {"host": urlsplit(target.url).netloc, **upstream.headers(), **made.headers}
    )
    request.trailers = None
    request.content = made.body
    request.headers["content-length"] = str(len(made.body))
    return request


def line(
    flow: http.HTTPFlow,
    made: Exchange,
    request: http.Request,
    turn: Turn,
    another: Callable[[http.HTTPFlow, str | None], bool],
) -> transport.Line:
    settings = config.settings()
    return transport.Line(
        exchange=made,
        request=request,
        heartbeat=settings.heartbeat,
        silence=settings.timeout,
        retry=transport.retry_policy(settings.retries + 1, settings.retry_budget),
        another=another,
        head=lambda: head(flow, made),
        secrets=upstream.secrets(turn.choice.target),
    )


def stream(made: Exchange, encoding: str) -> Callable[[bytes], bytes | list[bytes]]:
    """`feed` as mitmproxy calls it: encoded bytes in, and [] for nothing, as b"" would end it."""
    if encoding.lower() not in ("gzip", "deflate"):  # we ask for identity; some compress anyway
        return lambda data: made.feed(data) or []
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def unpacked(data: bytes) -> bytes | list[bytes]:
        try:
            plain = unpack.decompress(data) if data else unpack.flush()
        except zlib.error as error:
            return made.cut(f"its {encoding} is broken: {error}") or []
        events = made.feed(plain) if plain else b""
        return (events if data else events + made.feed(b"")) or []

    return unpacked


def head(flow: http.HTTPFlow, made: Exchange) -> http.Response:
    """The head of a streamed reply."""
    response = transport.sse_head()
    response.headers.update(report(made))
    if flow.request.is_http10:  # knows no chunks; the connection's end is the reply's
        del response.headers["transfer-encoding"]
    return response


def deliver(flow: http.HTTPFlow, made: Exchange, reply: Reply) -> None:
    answer(flow, reply.status, reply.body, **reply.headers, **report(made))


def report(made: Exchange) -> dict[str, str]:
    """What the client is told beside the reply: who answered, and what did not cross."""
    told = {"x-relay-provider": made.provider.name, "x-relay-model": made.model}
    if made.dropped:
        told["x-relay-dropped"] = ", ".join(made.dropped)
    # header values are latin-1 without control characters, and servers limit their length
    return {k: "".join(c if " " <= c <= "~" else "?" for c in v)[:2000] for k, v in told.items()}


def story(made: Exchange, turn: Turn) -> str:
    dropped = f" · dropped {', '.join(made.dropped)}" if made.dropped else ""
    usage = made.response["usage"] or {}
    counted = " · usage estimated" if usage.get("estimated") else ""
    told = f"{made.asked} → {made.provider.name}/{made.model}{turn.story}{dropped}{counted}"
    return told.encode("utf-8", "replace").decode()  # a lone surrogate could not be saved
