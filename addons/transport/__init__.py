"""How an exchange is relayed: retries, heartbeats and clean endings, on mitmproxy's private API.

Do not import `relay_stream` here: where mitmproxy does not fit, that import fails, and `Transport`
must report the difference first.
"""

from addons.transport.addon import Transport
from addons.transport.client_handlers import close_client, count_clients
from addons.transport.client_limits import (
    BodyLimit,
    ClientLimits,
    limit_body,
    set_client_limits,
)
from addons.transport.content_decoding import (
    BoundedDecoder,
    BrokenEncoding,
    DecodedTooLarge,
    decompress_bounded,
)
from addons.transport.contract import TESTED_VERSIONS, first_difference
from addons.transport.idle_clients import idle_clients, mark_progress
from addons.transport.plan import RelayPlan, attach_plan, plan_of
from addons.transport.retry_policy import EMPTY_STREAM, RetryPolicy, build_retry_policy

__all__ = [
    "BodyLimit",
    "BoundedDecoder",
    "BrokenEncoding",
    "ClientLimits",
    "DecodedTooLarge",
    "EMPTY_STREAM",
    "RelayPlan",
    "RetryPolicy",
    "TESTED_VERSIONS",
    "Transport",
    "attach_plan",
    "build_retry_policy",
    "close_client",
    "count_clients",
    "decompress_bounded",
    "first_difference",
    "idle_clients",
    "limit_body",
    "mark_progress",
    "plan_of",
    "set_client_limits",
]
