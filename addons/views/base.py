"""What the views share: what they are chosen for, and that they always show something."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mitmproxy.contentviews import Contentview, Metadata
from mitmproxy.http import HTTPFlow, Message, Request

from addons.observe import flow_pair as rows
from addons.observe.exchange_record import FACTS
from addons.views.text import page, tall

OURS = frozenset(
    {"relay", "compact", "chat", "retrieve", "items"}
)  # routes that carry conversations
Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """The message that is shown, and what is known beside it."""

    flow: HTTPFlow | None
    is_request: bool = True

    @property
    def told(self) -> Json:
        return self.flow.metadata if self.flow else {}

    @property
    def ours(self) -> bool:
        return rows.LEG in self.told or self.told.get("relay.route") in OURS

    @property
    def other(self) -> HTTPFlow | None:
        return rows.other(self.flow) if self.flow else None

    @property
    def facts(self) -> Json:
        """The record of the exchange; the client's row has it."""
        other = self.other.metadata if self.other else {}
        found = self.told.get(FACTS) or other.get(FACTS)
        return found if isinstance(found, dict) else {}

    def sides(self) -> tuple[HTTPFlow | None, HTTPFlow | None]:
        """The client's row and the upstream's."""
        upstream = self.told.get(rows.LEG) == rows.UPSTREAM
        return (self.other, self.flow) if upstream else (self.flow, self.other)


def seen(metadata: Metadata) -> Seen:
    flow = metadata.flow if isinstance(metadata.flow, HTTPFlow) else None
    return Seen(flow, isinstance(metadata.http_message, Request))


def body_of(message: Message | None) -> bytes:
    return (message.get_content(strict=False) if message else None) or b""


class View(Contentview):
    """`blocks` makes the text; whatever happens there, what it had made is shown."""

    syntax_highlight = "none"  # what people say is no YAML

    @abstractmethod
    def blocks(self, body: bytes, seen: Seen) -> Iterator[str]:
        """The text, in pieces."""

    @abstractmethod
    def fits(self, body: bytes, seen: Seen) -> float:
        """The priority in a flow of ours; below 0 where this view is for another kind."""

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        return tall(page(self._shown(data, seen(metadata))))

    def _shown(self, data: bytes, seen: Seen) -> Iterator[str]:
        try:
            yield from self.blocks(data, seen)
        except Exception as error:  # a body may be anything
            yield f"⋯ this could not be read further: {error}; the view `raw` has it all ⋯"
            if len(data) < 100_000:
                yield data.decode("utf-8", "replace")

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        found = seen(metadata)
        return self.fits(data, found) if data and found.ours else -1
