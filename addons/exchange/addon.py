"""Relays the flows of the model routes: translates the request up, and the reply down."""

import logging

from mitmproxy.http import HTTPFlow, Response

from addons.exchange.active import (
    ActiveExchange,
    active_exchange,
    remove_exchange,
    reply_translator,
    whole_reply,
)
from addons.exchange.concurrency import admit_exchange, release_exchange
from addons.exchange.prepare import prepare_fallback_plan
from addons.exchange.resend import is_resent
from addons.ingress import RELAYED_ROUTES, answer_flow, mask_response, refuse_flow, route_of
from addons.large_work import run_sized
from addons.observe import keep_ended_flows
from addons.routing import refuse_for_error
from addons.secret_mask import SecretMask


class Translator:
    """Relays the flows that `ingress.routes` marked; it leaves every other flow alone."""

    async def request(self, flow: HTTPFlow) -> None:
        # A flow that is read from a file or replayed has been translated already.
        if flow.response or not flow.live or (flow.is_replay and not is_resent(flow)):
            return
        if route_of(flow) not in RELAYED_ROUTES or not admit_exchange(flow):
            return
        try:
            plan = await prepare_fallback_plan(flow)
            plan, exchange = await run_sized(plan.context.request_size, plan.first_fit)
            ActiveExchange(flow, plan, exchange).start()
        except Exception as error:  # without a reply, the flow would go on to the host it names
            refuse_for_error(flow, error)

    def responseheaders(self, flow: HTTPFlow) -> None:
        active, response = active_exchange(flow), flow.response
        if active is None or response is None:
            return
        active.on_upstream_head(response)
        mask_response(flow)  # after the account has read its cookies
        if active.exchange.streaming and response.status_code == 200:
            response.http_version = "HTTP/1.1"
            response.headers = active.stream_headers()
            response.stream = reply_translator(active.exchange)

    def response(self, flow: HTTPFlow) -> None:
        release_exchange(flow)
        active = remove_exchange(flow)
        if active is None or flow.response is None:
            keep_refused(flow)
            return
        upstream_reply = None if flow.response.stream else flow.response.copy()
        try:
            if upstream_reply:
                answer_with_translation(flow, active, upstream_reply)
            # mitmproxy does not stream a reply whose head declares it empty
            elif last_events := active.exchange.feed(b""):
                flow.response.raw_content = last_events
        except Exception:  # the client would get the upstream's own reply
            logging.exception("mitmcodex failed at a reply")
            refuse_flow(flow, 500, "mitmcodex failed at this reply; its log has the reason.")
        active.end(upstream_reply)

    def error(self, flow: HTTPFlow) -> None:
        release_exchange(flow)
        if active := remove_exchange(flow):
            try:
                active.exchange.interrupt(flow.error.msg if flow.error else "it ended")
            finally:
                active.end(None)
        else:
            keep_refused(flow)


def keep_refused(flow: HTTPFlow) -> None:
    """Count a request that was not relayed among the ended exchanges that mitmweb keeps: its body
    may be as large."""
    if flow.live and route_of(flow) in RELAYED_ROUTES:
        keep_ended_flows(flow)


def answer_with_translation(flow: HTTPFlow, active: ActiveExchange, reply: Response) -> None:
    """Answer the client with the translation of a reply that did not stream."""
    translation = whole_reply(active.exchange, reply)
    headers = {**translation.headers, **active.relay_headers()}
    # The body may join what came in pieces.
    body = SecretMask(active.credentials().values()).mask_content(translation.body)
    answer_flow(flow, translation.status, body, **headers)
