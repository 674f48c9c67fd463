"""The exchange on a flow: the request goes up translated, the reply comes down translated."""

import logging
import time
import uuid
import zlib
from collections.abc import Callable
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from mitmproxy import http

from addons import config, routes, transport, upstream
from addons.answer import answer, refuse
from addons.routes import Route
from translate import BadRequest, Exchange, Reply, Way, compact, compaction, decode, exchange

RELAYED = frozenset({Route.RELAY, Route.COMPACT})
PATH = {"chat": "/chat/completions", "responses": "/responses"}


class Translator:
    """Relays the flows that routes.py marked; every other flow passes by."""

    def __init__(self) -> None:
        self._exchanges: WeakKeyDictionary[http.HTTPFlow, Exchange] = WeakKeyDictionary()

    async def request(self, flow: http.HTTPFlow) -> None:
        # A flow that is read or replayed has been translated once.
        if flow.response or flow.is_replay or not flow.live:
            return
        if routes.route_of(flow) not in RELAYED:
            return
        try:
            target = upstream.target(flow)
            self._exchanges[flow] = made = await begin(flow, target)
            transport.attach(flow, line(flow, made, upstream.secrets(target)))
        except BadRequest as error:
            refuse(flow, 400, error.message, error.code, error.param)
        except Exception:  # without an answer here the flow would go on to where it was addressed
            logging.exception("codex-relay failed at a request")
            refuse(flow, 500, "codex-relay failed at this request; its log says how.")

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
            return
        body = flow.response.get_content(strict=False) or b""
        if flow.response.status_code == 200:
            deliver(flow, made, made.whole(body))
        else:
            wait = flow.response.headers.get("retry-after")
            deliver(flow, made, made.fail(flow.response.status_code, body, wait))


async def begin(flow: http.HTTPFlow, target: upstream.Target) -> Exchange:
    """Translate the request and point the flow at the upstream. Raises BadRequest."""
    try:
        body = decode(flow.request.get_content() or b"")
    except ValueError as error:  # of the content encoding, or of the JSON in it
        raise BadRequest(str(error)) from None
    cross = compact if routes.route_of(flow) is Route.COMPACT else exchange
    model = await upstream.model(str(body.get("model")), target)
    fits = cross is compact or compaction.triggered(body.get("input"))
    way = Way(
        provider=await upstream.fitted(target, model) if fits else target.provider,
        model=model,
        id=f"resp_{uuid.uuid4().hex}",
        now=int(time.time()),
    )
    made = cross(body, client="responses", way=way)
    flow.comment = story(made)
    request = flow.request
    request.url = target.url + PATH[made.provider.dialect]
    request.headers = http.Headers()
    request.headers.update({"host": urlsplit(target.url).netloc, **upstream.headers()})
    request.trailers = None
    request.content = made.body
    request.headers["content-length"] = str(len(made.body))
    return made


def line(flow: http.HTTPFlow, made: Exchange, secrets: dict[str, str]) -> transport.Line:
    settings = config.settings()
    return transport.Line(
        exchange=made,
        heartbeat=settings.heartbeat,
        silence=settings.timeout,
        retry=transport.retry_policy(settings.retries + 1, settings.retry_budget),
        head=lambda: head(flow, made),
        secrets=secrets,
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


def story(made: Exchange) -> str:
    dropped = f" · dropped {', '.join(made.dropped)}" if made.dropped else ""
    told = f"{made.asked} → {made.provider.name}/{made.model}{dropped}"
    return told.encode("utf-8", "replace").decode()  # a lone surrogate could not be saved
