"""The headers of an exchange: every header that the relay puts on a reply is written here.

It also passes Codex's own headers on to a service of Codex's, and the service's back to Codex. The
latter are marked with the account they come from, as another account has no use for them.
"""

from collections.abc import Iterable
from hashlib import blake2s

from mitmproxy.http import Headers

from addons.ingress import cors_headers
from addons.observe import FlowPair, server_timing
from translate import Exchange, Provider

MAX_LENGTH = 2000  # characters of a value: servers and clients limit it


def stream_headers(exchange: Exchange, flow_pair: FlowPair) -> Headers:
    """The headers of a streamed reply to the client."""
    headers = {
        "content-type": "text/event-stream",
        "cache-control": "no-cache",
        "transfer-encoding": "chunked",
        **relay_headers(exchange, flow_pair),
    }
    if flow_pair.client_flow.request.is_http10:  # knows no chunks: the reply ends as it closes
        del headers["transfer-encoding"]
    return Headers([(name.encode(), value.encode()) for name, value in headers.items()])


def relay_headers(exchange: Exchange, flow_pair: FlowPair) -> dict[str, str]:
    """What a reply tells its client beside the body: which model of which provider answered, how
    fast, what was dropped, and Codex's headers of the upstream's reply."""
    flow = flow_pair.client_flow
    received_at = flow.request.timestamp_end or flow.request.timestamp_start
    headers = {
        "x-relay-provider": exchange.provider.name,
        "x-relay-model": exchange.model,
        "server-timing": server_timing(flow_pair, received_at),
    }
    if dropped := exchange.dropped:
        headers["x-relay-dropped"] = ", ".join(dropped)
    if flow.response:
        headers |= forwarded_reply_headers(flow.response.headers, exchange.provider)
    headers |= cors_headers(flow)
    return {name: header_text(value) for name, value in headers.items()}


def header_text(value: str) -> str:
    """The value in printable ASCII, as header values are Latin-1 without control characters."""
    return "".join(char if " " <= char <= "~" else "?" for char in value)[:MAX_LENGTH]


def forwarded_request_headers(headers: Headers, provider: Provider) -> dict[str, str]:
    """The headers of a Codex request that its service gets, with those that it sent itself earlier.

    A header that another account sent is left out.
    """
    client_headers = pick_headers(headers, provider.client_headers)
    mark = f"{account_mark(provider)}."
    returned = {k: v for k, v in client_headers.items() if k in provider.reply_headers}
    own = {k: v.removeprefix(mark) for k, v in returned.items() if v.startswith(mark)}
    return {k: v for k, v in client_headers.items() if k not in returned} | own


def forwarded_reply_headers(headers: Headers, provider: Provider) -> dict[str, str]:
    """The headers of its reply that Codex gets, each with the account's mark."""
    reply_headers = pick_headers(headers, provider.reply_headers)
    return {name: f"{account_mark(provider)}.{value}" for name, value in reply_headers.items()}


def account_mark(provider: Provider) -> str:
    """A short text that differs from account to account, and does not name it."""
    return blake2s(provider.identity.encode(), digest_size=6).hexdigest()


def pick_headers(headers: Headers, names: Iterable[str]) -> dict[str, str]:
    """Those of the named headers that are there."""
    return {name: headers[name] for name in names if name in headers}
