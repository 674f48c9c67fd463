"""How much of one request and one reply the relay takes in; an exchange is bounded by these."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Past a limit a request is refused with a 413, and a reply ends as failed."""

    item_count: int = 50_000  # input items or messages of a request, those of its history included
    tool_count: int = 4_096  # tools of a request, those inside namespaces included
    nesting: int = 128  # objects and lists inside one another in a request's JSON
    value_count: int = 2_000_000  # values of the JSON of a request or a reply
    event_bytes: int = 16 << 20  # one event of a reply, decoded
    reply_bytes: int = 64 << 20  # a whole reply, decoded, streamed or not


DEFAULT_LIMITS = Limits()
