"""Chat on both sides: what a client says to OpenAI becomes what this provider takes of Chat.

Every repair is made for Responses clients already, so the way leads over the same items and
events; what only this provider knows passes as it is.
"""

from functools import partial
from typing import Any

from translate.mappings import logprobs
from translate.mappings.parameters import OURS
from translate.providers.profile import COMMON, Provider
from translate.reply.chat_to_responses import ChatToResponses
from translate.reply.responses_to_chat import ResponsesToChat
from translate.request import responses_to_chat as request
from translate.tools.tool_map import ToolMap
from translate.wire.requests import ResponsesRequest

# What OpenAI's own API has: a provider's table says whether it takes that. Any other name is the
# provider's own (`top_k`, `chat_template_kwargs`, OpenRouter's `provider`), and not ours to judge.
OPENAI = COMMON | {
    "audio",
    "include",
    "metadata",
    "modalities",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "top_logprobs",
    "user",
    "web_search_options",
    logprobs.ASKED,
}

Machine = partial(ResponsesToChat, hears=ChatToResponses)


def to_chat(
    asked: ResponsesRequest, provider: Provider, model: str, tools: ToolMap, known: int = 0
) -> dict[str, Any]:
    """The Chat body, as `request.to_chat` makes it."""
    own = (asked.model_extra or {}).keys() - OPENAI - OURS - provider.refuses
    wide = provider.model_copy(update={"takes": provider.takes | own})
    return request.to_chat(asked, wide, model, tools, known)
