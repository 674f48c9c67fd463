"""What a request is given on its way up that its client did not say in so many words."""

from typing import Any

from translate.mappings import stop_sequences as stops
from translate.providers import model_names as variants
from translate.providers.model_names import Variant
from translate.providers.profile import Provider
from translate.request.chat_to_responses import Asked
from translate.state import session
from translate.wire.requests import ResponsesRequest


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
