"""A client's dialect: how its request is read, and what its answer looks like on the wire."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from translate.providers.profile import Dialect
from translate.reply import responses_to_chat
from translate.request import chat_to_responses as ask
from translate.request.chat_to_responses import Asked
from translate.state import session
from translate.wire import requests as responses
from translate.wire import sse
from translate.wire.errors import IN_STREAM

Json = dict[str, Any]


class Client(NamedTuple):
    read: Callable[[Json], Asked]
    event: Callable[[Json], bytes]  # one that the machine gave, on the wire
    last: bytes  # behind the last of them, unless the reply failed
    answer: Callable[[list[Json]], Json]  # all events → what a client gets that wants no stream
    in_stream: frozenset[str]  # errors that it understands as an event only


CLIENTS: dict[Dialect, Client] = {
    "responses": Client(
        read=lambda body: Asked(responses.read(body)),
        event=sse.event,
        last=b"",
        answer=lambda events: events[-1]["response"],
        in_stream=IN_STREAM,
    ),
    "chat": Client(
        read=ask.to_responses,
        event=sse.chunk,
        last=b"data: %s\n\n" % sse.DONE,
        answer=responses_to_chat.fold,
        in_stream=frozenset(),
    ),
}


def session_of(body: Json, client: Dialect, history: Sequence[Json] = ()) -> str:
    """`Exchange.session` of a decoded body, before it is known where that goes. `history`: the
    items behind its `previous_response_id`. Raises BadRequest."""
    asked = CLIENTS[client].read(body).request
    return session.session(asked.model_copy(update={"input": [*history, *asked.items]}))
