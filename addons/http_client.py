"""The options of the small HTTP requests that the relay itself makes."""

import logging
import ssl
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import certifi
import httpx2
from mitmproxy import ctx
from mitmproxy.proxy.mode_specs import ProxyMode, UpstreamMode
from mitmproxy.utils.human import format_address

from addons.identity import USER_AGENT

REQUEST_TIMEOUT = 20.0  # s for a whole request
REPLY_LIMIT = 8 << 20  # bytes of a reply's body; the longest lists of models have one or two

# They log what a server sends: cookies at DEBUG, the reason of a status at INFO.
for _name in ("httpcore2", "httpx2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def client_options(timeout: float = REQUEST_TIMEOUT) -> dict[str, Any]:
    """Arguments for a client of httpx2. `timeout`: s for a whole request.

    The client raises HTTPError for a reply above REPLY_LIMIT, and for one that is compressed
    although the relay asks for no compression: a few kilobytes may stand for gigabytes.
    """
    return {
        "headers": {"user-agent": USER_AGENT, "accept-encoding": "identity"},
        "event_hooks": {"response": [bound_reply]},
        "timeout": timeout,
        "trust_env": False,  # the proxy that the environment names may be the relay itself
        "proxy": upstream_proxy(),
        "follow_redirects": False,  # another host must not get the key
        "verify": tls_context(*tls_options()),
    }


def tls_options() -> tuple[str | None, bool]:
    """mitmproxy's options for the certificates of upstreams; their defaults where none runs."""
    options: Any = getattr(ctx, "options", None)
    names = "ssl_verify_upstream_trusted_ca", "ssl_insecure"
    authorities_file, insecure = (getattr(options, name, None) for name in names)
    return authorities_file, bool(insecure)


def upstream_proxy() -> httpx2.Proxy | None:
    """The proxy of mitmproxy's mode `upstream:`, through which it sends clients' requests as well;
    None in other modes, and where no mitmproxy runs."""
    options: Any = getattr(ctx, "options", None)
    for text in getattr(options, "mode", ()):
        mode = ProxyMode.parse(text)
        if isinstance(mode, UpstreamMode):
            user, colon, password = (getattr(options, "upstream_auth", None) or "").partition(":")
            return httpx2.Proxy(
                f"{mode.scheme}://{format_address(mode.address)}",
                auth=(user, password) if colon else None,
                ssl_context=tls_context(*tls_options()) if mode.scheme == "https" else None,
            )
    return None


async def bound_reply(reply: httpx2.Response) -> None:
    """Called with the head of each reply."""
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx2.DecodingError("a compressed reply", request=reply.request)
    assert isinstance(reply.stream, httpx2.AsyncByteStream)  # noqa: S101 - for the type checker
    reply.stream = BoundedReply(reply.stream)


class BoundedReply(httpx2.AsyncByteStream):
    """The body of a reply, which raises ReadError above REPLY_LIMIT."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > REPLY_LIMIT:
                raise httpx2.ReadError(f"a reply of more than {REPLY_LIMIT} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


@cache
def tls_context(authorities_file: str | None, insecure: bool) -> ssl.SSLContext:
    """The TLS settings that mitmproxy's options ask for. `authorities_file`: PEM, or certifi's.

    Cached, as reading the authorities takes longer than most requests.
    """
    context = ssl.create_default_context(cafile=authorities_file or certifi.where())
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
