"""The headers of an exchange: what the relay puts on a reply comes together here.

It also forwards Codex's own headers to a service of Codex's, and the service's headers to Codex.
The latter are marked with their account, as Codex sends them back, and they are for that account
only.
"""

from collections.abc import Iterable
from hashlib import blake2s

from mitmproxy.http import Headers

from addons.ingress import cors_headers, header_text
from addons.observe import FlowPair, server_timing
from translate import Exchange, Provider


def stream_headers(exchange: Exchange, flow_pair: FlowPair) -> Headers:
    """The headers of a streamed reply to the client."""
    headers = {
        "content-type": "text/event-stream",
        "cache-control": "no-cache",
        "transfer-encoding": "chunked",
        **relay_headers(exchange, flow_pair),
    }
    if flow_pair.client_flow.request.is_http10:  # no chunks: the reply ends with the connection
        del headers["transfer-encoding"]
    return Headers([(name.encode(), value.encode()) for name, value in headers.items()])


def relay_headers(exchange: Exchange, flow_pair: FlowPair) -> dict[str, str]:
    """The relay's own headers of a reply: which model of which provider answered, how fast, and
    what was dropped; and those of the upstream's headers that are for Codex."""
    flow = flow_pair.client_flow
    received_at = flow.request.timestamp_end or flow.request.timestamp_start
    headers = {
        "x-relay-provider": exchange.provider.name,
        "x-relay-model": exchange.model,
        "server-timing": server_timing(flow_pair, received_at),
    }
    if dropped := exchange.dropped:
        headers["x-relay-dropped"] = ", ".join(dropped)
    if flow.response and exchange.from_codex:
        headers |= forwarded_reply_headers(flow.response.headers, exchange.provider)
    headers |= cors_headers(flow)
    return {name: header_text(value) for name, value in headers.items()}


def forwarded_request_headers(headers: Headers, provider: Provider) -> dict[str, str]:
    """The headers of a Codex request that its service gets, among them those that the service sent
    earlier.

    Those that another account sent are left out.
    """
    client_headers = pick_headers(headers, provider.client_headers)
    mark = f"{account_mark(provider)}."
    returned = {k: v for k, v in client_headers.items() if k in provider.reply_headers}
    unmarked = {k: v.removeprefix(mark) for k, v in returned.items() if v.startswith(mark)}
    return {k: v for k, v in client_headers.items() if k not in returned} | unmarked


def forwarded_reply_headers(headers: Headers, provider: Provider) -> dict[str, str]:
    """The headers of the service's reply that Codex gets, each with the account's mark."""
    reply_headers = pick_headers(headers, provider.reply_headers)
    return {name: f"{account_mark(provider)}.{value}" for name, value in reply_headers.items()}


def account_mark(provider: Provider) -> str:
    """A short text that differs from account to account, and does not name it."""
    return blake2s(provider.identity.encode(), digest_size=6).hexdigest()


def pick_headers(headers: Headers, names: Iterable[str]) -> dict[str, str]:
    """The headers with these names, as far as they are present."""
    return {name: headers[name] for name in names if name in headers}
