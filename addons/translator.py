"""The exchange on a flow: the request goes up translated, the reply comes down translated."""

import logging
from collections.abc import Callable
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from mitmproxy import http

from addons import config, ledger, routes, store, transport, upstream
from addons.answer import refuse
from addons.carried import Carried, deliver, head, stream, whole
from addons.resent import resent
from addons.routes import RELAYED
from addons.rows import Rows
from addons.turn import Turn, begin
from translate import BadRequest, Exchange


class Translator:
    """Relays the flows that routes.py marked; every other flow passes by."""

    def __init__(self) -> None:
        self._carried: WeakKeyDictionary[http.HTTPFlow, Carried] = WeakKeyDictionary()

    async def request(self, flow: http.HTTPFlow) -> None:
        # A flow that is read or replayed has been translated once.
        if flow.response or not flow.live or (flow.is_replay and not resent(flow)):
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
        request = addressed(turn.choice.target, made)
        self._carried[flow] = carried = Carried(made, turn, Rows(flow, request))
        ledger.write(flow, carried.facts())

        def another(flow: http.HTTPFlow, error: str | None) -> bool:
            following = turn.after(made, None if error else flow.response)
            if following:
                self.send(flow, following)
            return following is not None

        transport.attach(flow, line(flow, carried, request, another))

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        carried = self._carried.get(flow)
        if carried is None or flow.response is None:
            return
        carried.rows.begins(flow.response)
        if carried.made.streaming and flow.response.status_code == 200:
            encoding = flow.response.headers.get("content-encoding", "")
            flow.response.http_version = "HTTP/1.1"
            flow.response.headers = head(flow, carried).headers
            flow.response.stream = stream(carried, encoding)

    def response(self, flow: http.HTTPFlow) -> None:
        carried = self._carried.pop(flow, None)
        if carried is None or flow.response is None:
            return
        if flow.response.stream:
            ending = carried.made.feed(b"")
            carried.end(None)
            if ending:  # mitmproxy streams no reply that its head calls empty
                flow.response.raw_content = ending
        else:
            reply = flow.response.copy()
            deliver(flow, carried, whole(carried.made, reply))
            carried.end(reply)

    def error(self, flow: http.HTTPFlow) -> None:
        if carried := self._carried.pop(flow, None):
            carried.made.cut(flow.error.msg if flow.error else "it ended")
            carried.end(None)


def addressed(target: upstream.Target, made: Exchange) -> http.Request:
    """The request that goes up."""
    path = upstream.PATH[made.provider.dialect]
    request = http.Request.make("POST", target.url + path, made.body)
    request.headers.update(
        {"host": urlsplit(target.url).netloc, **upstream.headers(), **made.headers}
    )
    return request


def line(
    flow: http.HTTPFlow,
    carried: Carried,
    request: http.Request,
    another: Callable[[http.HTTPFlow, str | None], bool],
) -> transport.Line:
    settings = config.settings()
    return transport.Line(
        exchange=carried.made,
        request=request,
        heartbeat=settings.heartbeat,
        silence=settings.timeout,
        retry=transport.retry_policy(settings.retries + 1, settings.retry_budget),
        another=another,
        told=carried.rows.told,
        head=lambda: head(flow, carried),
        secrets=upstream.secrets(carried.turn.choice.target),
    )
