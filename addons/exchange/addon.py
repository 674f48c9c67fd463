"""Relays the flows of the model routes: translates the request up, and the reply down."""

import logging

from mitmproxy.http import HTTPFlow

from addons.accounts import AccountUnavailable
from addons.exchange.active import (
    ActiveExchange,
    active_exchange,
    remove_exchange,
    reply_translator,
    whole_reply,
)
from addons.exchange.prepare import prepare_fallback_plan
from addons.exchange.resend import is_resent
from addons.ingress import RELAYED_ROUTES, answer_flow, mask_response, refuse_flow, route_of
from addons.routing import answer_unavailable
from addons.storage import StorageUnavailable
from translate import BadRequest


class Translator:
    """Relays the flows that `ingress.routes` marked; it leaves every other flow alone."""

    async def request(self, flow: HTTPFlow) -> None:
        # A flow that is read from a file or replayed has been translated already.
        if flow.response or not flow.live or (flow.is_replay and not is_resent(flow)):
            return
        if route_of(flow) not in RELAYED_ROUTES:
            return
        try:
            ActiveExchange(flow, await prepare_fallback_plan(flow)).start()
        except BadRequest as error:
            refuse_flow(flow, 400, error.message, error.code, error.param)
        except StorageUnavailable as error:
            refuse_flow(flow, 503, str(error), "store_unavailable")
        except AccountUnavailable as error:
            answer_unavailable(flow, error)
        except Exception:  # without a reply, the flow would go on to the host that it names
            logging.exception("codex-relay failed at a request")
            refuse_flow(flow, 500, "codex-relay failed at this request; its log says how.")

    def responseheaders(self, flow: HTTPFlow) -> None:
        active, response = active_exchange(flow), flow.response
        if active is None or response is None:
            return
        active.on_upstream_head(response)
        mask_response(flow)  # after the account has read its cookies
        if active.exchange.streaming and response.status_code == 200:
            encoding = response.headers.get("content-encoding", "")
            response.http_version = "HTTP/1.1"
            response.headers = active.stream_headers()
            response.stream = reply_translator(active.exchange, encoding)

    def response(self, flow: HTTPFlow) -> None:
        active = remove_exchange(flow)
        if active is None or flow.response is None:
            return
        exchange = active.exchange
        if flow.response.stream:
            last_events = exchange.feed(b"")
            active.end(None)
            if last_events:  # mitmproxy does not stream a reply whose head declares it empty
                flow.response.raw_content = last_events
        else:
            upstream_reply = active.masked_reply(flow.response)
            reply = whole_reply(exchange, upstream_reply)
            headers = {**reply.headers, **active.relay_headers()}
            answer_flow(flow, reply.status, reply.body, **headers)
            active.end(upstream_reply)

    def error(self, flow: HTTPFlow) -> None:
        if active := remove_exchange(flow):
            active.exchange.interrupt(flow.error.msg if flow.error else "it ended")
            active.end(None)
