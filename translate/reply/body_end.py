"""Whether a reply that came in one body says that it has ended.

Some upstreams send all of a reply and then neither end the body nor close the connection, or they
break it: such a reply is as good as any other.
"""

from itertools import chain
from typing import Any

from translate.reply.reply_reader import DONE_MARK, ReplyReader
from translate.reply.stream_start import END_EVENTS

Json = dict[str, Any]

ENDED_STATUSES = ("completed", "incomplete", "failed", "cancelled")  # of a whole response


def has_reply_end(body: bytes) -> bool:
    """Whether the body, a stream of events or one JSON value, has what ends a reply of its dialect:
    `[DONE]`, a `finish_reason`, a last event or a final status. Total."""
    reader = ReplyReader()
    try:
        return any(map(_ends_reply, chain(reader.feed(body), reader.flush())))
    except (ValueError, RecursionError):  # it is too large, or no JSON
        return False


def _ends_reply(event: Json) -> bool:
    match event:
        case {"type": str(type)} if type in END_EVENTS:
            return True
        case {"object": "response", "status": status}:
            return status in ENDED_STATUSES
        case {"choices": [*choices]}:
            return any(map(_has_finish_reason, choices))
    return event is DONE_MARK


def _has_finish_reason(choice: Any) -> bool:
    return isinstance(choice, dict) and bool(choice.get("finish_reason"))
