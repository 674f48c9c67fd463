"""What a flow does not show, kept beside it: for our own use, and to be put back as it leaves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mitmproxy.http import Headers, HTTPFlow

OWN = "relay.own"  # in the metadata
PORT = "relay.port"  # the same: which of our ports was asked for, where another one was dialled
CLIENT = "relay.client"  # the same: the name of the client's key
ATTEMPTS = "relay.attempts"  # in the metadata: why a request was sent again
RESENT = "relay.resent"  # in the metadata: the id of the flow that was sent again

MASK = "(hidden)"
HIDDEN = "relay_hidden"  # an attribute: metadata is saved


@dataclass
class Hidden:
    """What the flow itself does not show."""

    request: dict[str, list[str]] = field(default_factory=dict)  # headers
    response: dict[str, list[str]] = field(default_factory=dict)
    body: bytes | None = None  # of our own reply


def hidden_of(flow: HTTPFlow) -> Hidden:
    found: Hidden = vars(flow).setdefault(HIDDEN, Hidden())
    return found


def sent(flow: HTTPFlow, name: str) -> list[str]:
    """All values of a request header, as the client sent them."""
    return hidden_of(flow).request.get(name) or flow.request.headers.get_all(name)


def without(content: bytes, secrets: Iterable[str]) -> bytes:
    """What an upstream says, without the key that it was sent: some say it again."""
    for value in secrets:
        content = content.replace(value.removeprefix("Bearer ").encode(), MASK.encode())
    return content


def restored(headers: Headers, kept: Mapping[str, list[str]]) -> Headers:
    """The headers as they leave."""
    made = headers.copy()
    for name, values in kept.items():
        if all(value.endswith(MASK) for value in made.get_all(name)) and name in made:
            made.set_all(name, values)  # what somebody changed since stays changed
    return made


def client(flow: HTTPFlow) -> str:
    """Whose conversation it is: the name of the client's key, "" where that has none."""
    return str(flow.metadata.get(CLIENT, ""))


def own(flow: HTTPFlow) -> bool:
    """Whether the request was addressed to our own port, not through it to another host."""
    return bool(flow.metadata.get(OWN))
