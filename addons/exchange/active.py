"""An exchange on its flow: the plan by which `transport` relays it, and its record."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from urllib.parse import urlsplit

from mitmproxy.http import Headers, HTTPFlow, Request, Response

from addons.accounts import Lease
from addons.config import current_settings
from addons.exchange import headers
from addons.exchange.closing import run_steps
from addons.exchange.fallback import FallbackPlan, has_new_loss
from addons.exchange.retry_unstreamed import RetryUnstreamed
from addons.flow_data import with_headers
from addons.large_work import LargeWorkUnavailable
from addons.observe import (
    FELL_BACK,
    RECORD,
    ExchangeRecord,
    FlowPair,
    build_record,
    count_exchange,
    keep_ended_flows,
    notify_listeners,
    record_log_line,
    record_turn,
    save_record,
)
from addons.routing import (
    DIALECT_PATHS,
    RetryWithRefresh,
    Target,
    credential_headers,
    upstream_headers,
)
from addons.transport import RelayPlan, RetryPolicy, attach_plan, build_retry_policy
from translate import Exchange, StreamProbe, StreamStart, WholeReply

# An attribute of the flow itself, as its metadata holds plain data only. It outlives a reload.
EXCHANGE_ATTRIBUTE = "relay_exchange"


class ActiveExchange(RelayPlan):
    """One exchange with one candidate: from its request to its end, or to the next candidate."""

    def __init__(self, flow: HTTPFlow, fallback_plan: FallbackPlan, exchange: Exchange) -> None:
        """`exchange`: the one that the plan has built."""
        settings = current_settings()
        self.exchange = exchange
        self.fallback_plan = fallback_plan
        self.upstream_request = upstream_request(flow, self.target, self.exchange)
        self.flow_pair = FlowPair(flow, self.upstream_request)
        self.reply_limit = settings.max_reply
        self.silence_limit = settings.timeout
        self.heartbeat_interval = settings.heartbeat
        policy = self._retry_policy()
        self._refresh = RetryWithRefresh(self.lease, policy) if self.lease else None
        self._unstreamed = RetryUnstreamed(exchange, self.upstream_request, policy)

    @property
    def target(self) -> Target:
        return self.fallback_plan.model_target.target

    @property
    def lease(self) -> Lease | None:
        """The lease of the account that serves the target, None for other targets."""
        return self.target.lease

    def start(self) -> None:
        """Record the exchange as begun, and let `transport` relay the flow."""
        flow = self.flow_pair.client_flow
        vars(flow)[EXCHANGE_ATTRIBUTE] = self
        record = self.current_record()
        save_record(flow, record)
        notify_listeners(flow, record)
        if self.lease:
            self.lease.start_request()
        attach_plan(flow, self)

    def current_record(self) -> ExchangeRecord:
        """The record of the exchange so far, for the flow's metadata and the listeners."""
        plan = self.fallback_plan
        lessons = plan.describe_lessons(self.exchange)
        variant = plan.model_target.variant
        return build_record(self.exchange, self.flow_pair, plan.notes, lessons) | {
            "url": self.target.url,
            "account": self.lease.summary.id if self.lease else None,
            "variant": asdict(variant) if variant else None,
            "advice": self.exchange.advice,
        }

    # The methods of RelayPlan, which `transport` calls

    def credentials(self) -> Mapping[str, str]:
        return credential_headers(self.target)

    def start_probe(self) -> Callable[[bytes], StreamStart]:
        return reply_probe()

    def retry_delay(self, error: str | None, attempt: int) -> float | None:
        retry = self._refresh or self._unstreamed
        delay = retry.retry_delay(self.flow_pair.client_flow, error, attempt)
        self.upstream_request = self._unstreamed.next_request
        return delay

    def is_ready(self) -> bool:
        is_refreshed = self._refresh is None or self._refresh.is_ready()
        is_written = self._unstreamed.is_ready()
        self.upstream_request = self._unstreamed.next_request
        return is_refreshed and is_written

    async def try_fallback(self) -> None:
        flow = self.flow_pair.client_flow
        reply = flow.response
        try:
            attempt = await self.fallback_plan.next_attempt(self.exchange, reply)
        except LargeWorkUnavailable as error:
            logging.warning(f"relay: no other attempt. {error}")
            return
        if attempt and active_exchange(flow) is self and flow.live:
            self._hand_over(reply)
            ActiveExchange(flow, *attempt).start()

    def is_writing(self) -> bool:
        saver = self.fallback_plan.response_saver
        return saver is not None and saver.is_busy()

    async def finish_write(self) -> None:
        if saver := self.fallback_plan.response_saver:
            await saver.wait_until_written()

    def stream_headers(self) -> Headers:
        return headers.stream_headers(self.exchange, self.flow_pair)

    def relay_headers(self) -> Mapping[str, str]:
        return headers.relay_headers(self.exchange, self.flow_pair)

    def on_client_bytes(self, data: bytes) -> None:
        self.flow_pair.on_client_bytes(data, self.exchange.output_started)

    def on_upstream_bytes(self, data: bytes) -> None:
        self.flow_pair.on_upstream_bytes(data)

    # The methods that the addon calls

    def on_upstream_head(self, head: Response) -> None:
        """Called for the head of each reply, of every attempt. Never raises."""
        steps: dict[str, Callable[[], object]] = {
            "the upstream's flow": lambda: self.flow_pair.on_upstream_head(head),
        }
        if lease := self.lease:
            steps["the account's limits"] = lambda: lease.record_reply_head(head)
        run_steps("head", steps)

    def end(self, reply: Response | None) -> None:
        """Record the end of the flow; `reply` is the upstream's if it did not stream. Never
        raises."""
        flow, record = self.flow_pair.client_flow, self._last_record()
        pair_flows = self.flow_pair.flows
        run_steps(
            "end",
            {
                "the account's limits": lambda: self._report_limits(reply),
                "its leases": self.fallback_plan.release_leases,
                "its record": lambda: save_record(flow, record),
                "its listeners": lambda: notify_listeners(flow, record),
                "its line in the log": lambda: log_record(record, self.exchange),
                "its metrics": lambda: count_exchange(record),
                "its stream": lambda: forget_translator(flow),
                "its corpus": lambda: record_turn(
                    self.exchange, record, self.credentials().values()
                ),
                "its flows": lambda: self.flow_pair.end_pair(reply),
                "the number of flows": lambda: keep_ended_flows(*pair_flows),
            },
        )

    def _hand_over(self, reply: Response | None) -> None:
        """Record that this candidate failed, and that the flow goes on with the next one."""
        reason = f"status {reply.status_code}" if reply else "no answer"
        record = {**self._last_record(), "status": FELL_BACK, "error": reason}
        upstream_flows = self.flow_pair.flows[1:]
        steps: dict[str, Callable[[], object]] = {
            "its listeners": lambda: notify_listeners(self.flow_pair.client_flow, record),
            "the account's limits": lambda: self._report_limits(reply),
            "its flows": lambda: self.flow_pair.end_upstream(reply),
            "the number of flows": lambda: keep_ended_flows(*upstream_flows),
        }
        if self.lease:
            steps["its lease"] = self.lease.release
        run_steps("fallback", steps)

    def _last_record(self) -> ExchangeRecord:
        """The record of the exchange as it ends; the first one, as failed, if that fails."""
        try:
            return self.current_record()
        except Exception as error:
            logging.exception("mitmcodex failed at the end of an exchange: reading its record")
            first_record = self.flow_pair.client_flow.metadata[RECORD]
            return {**first_record, "status": "failed", "error": f"no record: {error}"}

    def _report_limits(self, reply: Response | None) -> None:
        """Report the account's limits to its lease."""
        if self.lease:
            if reply and reply.status_code != 200:
                content = reply.get_content(strict=False) or b""
                self.lease.record_refusal(reply.status_code, content)
            if self.exchange.rate_limits:
                self.lease.record_rate_limits(self.exchange.rate_limits)

    def _retry_policy(self) -> RetryPolicy:
        settings = current_settings()
        budget = settings.retries.seconds
        if self.fallback_plan.candidates[1:] and settings.heartbeat:
            # The first heartbeat sends the client a head; no other candidate can answer after it.
            budget = min(budget, settings.heartbeat * 0.8)
        return build_retry_policy(settings.retries.further_attempts + 1, budget)


def log_record(record: ExchangeRecord, exchange: Exchange) -> None:
    """Log the exchange's one line; as a warning if it shows a loss that no line has shown yet."""
    level = logging.WARNING if has_new_loss(exchange) else logging.INFO
    logging.log(level, record_log_line(record))


def active_exchange(flow: HTTPFlow) -> ActiveExchange | None:
    """The flow's current exchange, if it has one."""
    active: ActiveExchange | None = vars(flow).get(EXCHANGE_ATTRIBUTE)
    return active


def remove_exchange(flow: HTTPFlow) -> ActiveExchange | None:
    """Detach the flow's exchange and return it, as the flow ends."""
    active: ActiveExchange | None = vars(flow).pop(EXCHANGE_ATTRIBUTE, None)
    return active


def forget_translator(flow: HTTPFlow) -> None:
    """Detach the exchange from the response, which mitmproxy keeps."""
    if flow.response:
        flow.response.stream = bool(flow.response.stream)


def upstream_request(flow: HTTPFlow, target: Target, exchange: Exchange) -> Request:
    """The request for the upstream, without its credentials."""
    path = DIALECT_PATHS[exchange.provider.dialect]
    request = with_headers(post_request(target.url + path), Headers())
    request.headers.update(
        {
            "content-length": str(len(exchange.body)),
            "host": urlsplit(target.url).netloc,
            **upstream_headers(exchange.provider),
            **exchange.headers,
            **headers.forwarded_request_headers(flow.request.headers, exchange.provider),
        }
    )
    request.raw_content = exchange.body
    request.timestamp_start = request.timestamp_end = time.time()
    return request


@lru_cache(maxsize=256)
def post_request(url: str) -> Request:
    """An empty request to this URL, to be copied: constructing one takes 60 µs, most of it for
    parsing the URL."""
    return Request.make("POST", url)


# The upstream's reply, for the client


def whole_reply(exchange: Exchange, reply: Response) -> WholeReply:
    """The client's reply for an upstream's reply that did not stream."""
    body = reply.get_content(strict=False) or b""
    if reply.status_code == 200:
        return exchange.whole_reply(body)
    retry_after, location = (reply.headers.get(name) for name in ("retry-after", "location"))
    return exchange.error_reply(reply.status_code, body, retry_after, location)


def reply_translator(exchange: Exchange) -> Callable[[bytes], bytes | list[bytes]]:
    """A function for mitmproxy's `response.stream`, which feeds the exchange.

    It returns [] where it has no bytes for the client, as b"" would end the reply.
    """
    return lambda data: exchange.feed(data) or []


def reply_probe() -> Callable[[bytes], StreamStart]:
    """A function that reads the same bytes before the exchange does, and returns whether the reply
    has begun."""
    return StreamProbe().feed
