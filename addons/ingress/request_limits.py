"""Bounds what a request may send: its head, and its body as it is sent and decompressed."""

import asyncio
from functools import partial

from mitmproxy.http import HTTPFlow, Request

from addons.config import current_settings
from addons.ingress.body_budget import FULL, hold_body, refuse_for_size
from addons.ingress.local_reply import refuse_flow
from addons.ingress.routes import RELAYED_ROUTES, Route, route_of
from addons.transport import (
    BodyLimit,
    BrokenEncoding,
    ClientLimits,
    DecodedTooLarge,
    decompress_bounded,
    limit_body,
    set_client_limits,
)
from translate import BadRequest, RequestTooLarge

LARGE_REQUESTS = RELAYED_ROUTES | {Route.INPUT_TOKENS, Route.PASS}


class RelayFull(BadRequest):
    """There is no room for the body of the request now."""

    status = 429


def apply_limits() -> None:
    """Let `transport` keep the limits of the settings for all connections."""
    settings = current_settings()
    set_client_limits(ClientLimits(settings.max_head, settings.max_side_call))


def bound_request(flow: HTTPFlow) -> None:
    """Refuse a request whose head says that it is too large, and bound the body of any other."""
    request, settings = flow.request, current_settings()
    if request.is_http2 and head_size(request) > settings.max_head:  # else `transport` counts it
        limit = f"{settings.max_head} (relay_max_head)"
        refuse_flow(flow, 431, f"The head of the request is larger than {limit}.")
        return
    length = request.headers.get("content-length", "")
    if not length and not request.is_http2 and "transfer-encoding" not in request.headers:
        return  # it has no body
    size = int(length) if length.isdecimal() else 0
    if route_of(flow) is Route.PASS and size > settings.max_side_call:
        request.stream = True  # it is not for us: mitmproxy need not hold it
        return
    body_limit = BodyLimit(size_limit(flow), partial(refuse_body, flow), partial(admit_body, flow))
    if size > body_limit.max_bytes:
        body_limit.refuse()
    else:
        limit_body(flow, body_limit)


def head_size(request: Request) -> int:
    return sum(len(name) + len(value) for name, value in request.headers.fields)


def size_limit(flow: HTTPFlow) -> int:
    """How many bytes the body may have as it is sent."""
    settings = current_settings()
    is_large = route_of(flow) in LARGE_REQUESTS
    return settings.max_request.as_sent if is_large else settings.max_side_call


def decoded_size_limit(flow: HTTPFlow) -> int:
    """How many bytes the body may have without its content-encoding."""
    settings = current_settings()
    is_large = route_of(flow) in LARGE_REQUESTS
    return settings.max_request.decoded if is_large else settings.max_side_call


def option_name(flow: HTTPFlow) -> str:
    return "relay_max_request" if route_of(flow) in LARGE_REQUESTS else "relay_max_side_call"


def refuse_body(flow: HTTPFlow) -> None:
    limit = f"{size_limit(flow)} ({option_name(flow)})"
    refuse_flow(flow, 413, f"The body of the request is larger than {limit}.", "request_too_large")


def admit_body(flow: HTTPFlow, size: int) -> bool:
    """Whether there is room for this much of the body; if not, the flow gets a 429."""
    has_room = hold_body(flow, size)
    if not has_room:
        refuse_for_size(flow)
    return has_room


async def request_content(flow: HTTPFlow) -> bytes:
    """The body without its content-encoding. Raises RequestTooLarge and BadRequest, and then drops
    the body, so that no page of mitmproxy's decodes it without a limit."""
    request, limit = flow.request, decoded_size_limit(flow)
    content, encoding = request.raw_content or b"", request.headers.get("content-encoding", "")
    if not encoding:
        return content
    try:  # in a thread, as it may take a second
        decoded = await asyncio.to_thread(decompress_bounded, content, encoding, limit)
    except DecodedTooLarge:
        request.raw_content = b""
        message = f"The body of the request is larger than {limit} when it is decompressed"
        raise RequestTooLarge(
            f"{message} ({option_name(flow)}).", code="request_too_large"
        ) from None
    except BrokenEncoding as error:
        request.raw_content = b""
        raise BadRequest(f"The body of the request is not readable: {error}") from None
    if not hold_body(flow, len(content) + len(decoded)):
        raise RelayFull(FULL, code="rate_limit_exceeded")
    return decoded
