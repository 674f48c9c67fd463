"""The exchange on a flow: the request goes up translated, the reply comes down translated."""

import logging
from collections.abc import Callable
from urllib.parse import urlsplit

from mitmproxy import http

from addons.accounts.noseat import NoSeat
from addons.config import addon as config
from addons.exchange import codex_headers as passed
from addons.exchange.active import Carried, deliver, head, opening, stream, whole
from addons.exchange.fallback import Turn
from addons.exchange.prepare import begin
from addons.exchange.resend import resent
from addons.flow_data import without
from addons.ingress import routes
from addons.ingress.local_reply import refuse
from addons.ingress.routes import RELAYED
from addons.observe import exchange_record as ledger
from addons.observe.flow_pair import Rows
from addons.routing import target as upstream
from addons.routing.account_targets import Renewing, decline
from addons.storage import response_store as store
from addons.transport import relay_stream as transport
from translate import BadRequest, Exchange

CARRIED = "relay_carried"  # an attribute, so that it outlives a reload of this script


class Translator:
    """Relays the flows that routes.py marked; every other flow passes by."""

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
        except NoSeat as why:
            decline(flow, why)
        except Exception:  # without an answer here the flow would go on to where it was addressed
            logging.exception("codex-relay failed at a request")
            refuse(flow, 500, "codex-relay failed at this request; its log says how.")

    def send(self, flow: http.HTTPFlow, turn: Turn) -> None:
        """Put the flow on a line to the upstream. Raises BadRequest."""
        made = turn.exchange()
        request = addressed(flow, turn.choice.target, made)
        vars(flow)[CARRIED] = carried = Carried(made, turn, Rows(flow, request))
        ledger.write(flow, carried.facts())
        carried.begin()

        def another(flow: http.HTTPFlow, error: str | None) -> bool:
            reply = None if error or flow.response is None else told(flow.response, turn)
            following = turn.after(made, reply)
            if following:
                carried.leave(reply)
                self.send(flow, following)
            return following is not None

        transport.attach(flow, line(flow, carried, request, another))

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        carried: Carried | None = vars(flow).get(CARRIED)
        if carried is None or flow.response is None:
            return
        carried.rows.begins(flow.response)
        carried.heard(flow.response)
        if carried.made.streaming and flow.response.status_code == 200:
            encoding = flow.response.headers.get("content-encoding", "")
            flow.response.http_version = "HTTP/1.1"
            flow.response.headers = head(flow, carried).headers
            flow.response.stream = stream(carried, encoding)

    def response(self, flow: http.HTTPFlow) -> None:
        carried: Carried | None = vars(flow).pop(CARRIED, None)
        if carried is None or flow.response is None:
            return
        if flow.response.stream:
            ending = carried.made.feed(b"")
            carried.end(None)
            if ending:  # mitmproxy streams no reply that its head calls empty
                flow.response.raw_content = ending
        else:
            reply = told(flow.response, carried.turn)
            deliver(flow, carried, whole(carried.made, reply))
            carried.end(reply)

    def error(self, flow: http.HTTPFlow) -> None:
        if carried := vars(flow).pop(CARRIED, None):
            carried.made.cut(flow.error.msg if flow.error else "it ended")
            carried.end(None)


def told(reply: http.Response, turn: Turn) -> http.Response:
    """A reply that did not stream; what is no refusal says no key again."""
    reply = reply.copy()
    content = reply.get_content(strict=False) or b""
    plain = without(content, upstream.secrets(turn.choice.target).values())
    if reply.status_code != 200 and plain != content:
        reply.content = plain
    return reply


def addressed(flow: http.HTTPFlow, target: upstream.Target, made: Exchange) -> http.Request:
    """The request that goes up."""
    path = upstream.PATH[made.provider.dialect]
    request = http.Request.make("POST", target.url + path, made.body)
    request.headers.update(
        {
            "host": urlsplit(target.url).netloc,
            **upstream.headers(made.provider),
            **made.headers,
            **passed.up(flow.request.headers, made.provider),
        }
    )
    return request


def line(
    flow: http.HTTPFlow,
    carried: Carried,
    request: http.Request,
    another: Callable[[http.HTTPFlow, str | None], bool],
) -> transport.Line:
    settings, seat = config.settings(), carried.turn.choice.target.seat
    budget = settings.retry_budget
    if carried.turn.legs[1:] and settings.heartbeat:  # behind a heartbeat nobody else can be asked
        budget = min(budget, settings.heartbeat * 0.8)
    policy = transport.retry_policy(settings.retries + 1, budget)
    renewing = Renewing(seat, policy) if seat else None
    return transport.Line(
        exchange=carried.made,
        request=request,
        heartbeat=settings.heartbeat,
        silence=settings.timeout,
        retry=renewing.retry if renewing else policy,
        ready=renewing.ready if renewing else lambda: True,
        another=another,
        told=carried.rows.told,
        head=lambda: head(flow, carried),
        secrets=lambda: upstream.secrets(carried.turn.choice.target),
        opening=opening,
        heard=carried.rows.heard,
    )
