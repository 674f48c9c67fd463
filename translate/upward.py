"""What a request is given on its way up that its client did not say in so many words."""

from typing import Any

from translate import session, stops, variants
from translate.ask import Asked
from translate.provider import Provider
from translate.responses import ResponsesRequest
from translate.variants import Variant


def upward(
    read: Asked, asked: ResponsesRequest, provider: Provider, variant: Variant | None, name: str
) -> tuple[ResponsesRequest, dict[str, Any]]:
    """The request for this provider, and what the machine of its reply has to know.

    `name`: of the conversation.
    """
    cuts = stops.ours(read.stop, provider)
    own = session.key(name, provider) | variants.asked(asked, variant)
    asked = asked.model_copy(update=own | ({"stop": None} if cuts else {}))
    return asked, read.reply | ({"stops": read.stop} if cuts else {})
