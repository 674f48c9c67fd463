"""How many bytes of request bodies the relay holds: in all, and for each client.

A body counts from its first byte until its flow has ended, decompressed as well.
"""

from collections import Counter
from weakref import WeakKeyDictionary

from mitmproxy.http import HTTPFlow

from addons.config import current_settings
from addons.ingress.client_keys import client_identity
from addons.ingress.local_reply import refuse_flow

RETRY_AFTER = 2  # s
FULL = (
    "The requests under way are as large as relay_max_bodies allows, in all or for this client. "
    "Try again in a moment."
)

# Flow → its client, and the size of its body. Weak, as a flow may end without any hook; what such
# flows had is given back when there is no room left.
_held_bodies: WeakKeyDictionary[HTTPFlow, tuple[str, int]] = WeakKeyDictionary()
_client_sizes: Counter[str] = Counter()


def hold_body(flow: HTTPFlow, size: int) -> bool:
    """Whether there is room for a body of this size; it then counts until `release_body`."""
    client, held_size = _held_bodies.get(flow, (client_identity(flow), 0))
    growth = size - held_size
    if not has_room(client, growth):
        count_again()
        if not has_room(client, growth):
            return False
    _held_bodies[flow] = client, size
    _client_sizes[client] += growth
    return True


def has_room(client: str, growth: int) -> bool:
    limits = current_settings().max_bodies
    is_client_full = _client_sizes[client] + growth > limits.client_bytes
    return not is_client_full and _client_sizes.total() + growth <= limits.total_bytes


def count_again() -> None:
    _client_sizes.clear()
    for client, size in list(_held_bodies.values()):
        _client_sizes[client] += size


def release_body(flow: HTTPFlow) -> None:
    """Note that the flow has ended, or has no body any more."""
    client, size = _held_bodies.pop(flow, ("", 0))
    _client_sizes[client] -= size
    if not _client_sizes[client]:
        del _client_sizes[client]


def held_bytes() -> int:
    """The size of all bodies."""
    return _client_sizes.total()


def refuse_for_size(flow: HTTPFlow) -> None:
    """Reply that there is no room for the body now."""
    release_body(flow)
    refuse_flow(flow, 429, FULL, "rate_limit_exceeded", retry_after=str(RETRY_AFTER))
