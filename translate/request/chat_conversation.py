"""A request and its reply as one Chat conversation, for records that other programs read."""

from typing import Any

from translate.mappings import reasoning
from translate.providers.profile import Dialect, Provider
from translate.request.conversation import NO_OUTPUT
from translate.request.responses_to_chat import request_to_chat
from translate.state import compaction
from translate.tools.tool_map import ToolMap
from translate.wire.errors import BadRequest
from translate.wire.requests import ResponsesRequest

Json = dict[str, Any]

# The fields of the provider's profile that are replaced for it, by the provider's dialect.
REPLACED_FIELDS: dict[Dialect, Json] = {
    "chat": {},
    "responses": {"dialect": "chat", "reasoning_back": "reasoning_content"},
}


def conversation_to_chat(
    request: ResponsesRequest, output: list[Json], provider: Provider, model: str
) -> Json | None:
    """The `messages` and `tools` of the conversation; `output`: the items of the reply.

    None for a summary, for what Chat cannot say, and for a reply with neither text nor a call.
    """
    if compaction.asks_for_compaction(request.input_items):
        return None
    request = request.model_copy(update={"input": [*request.input_items, *output]})
    provider = provider.model_copy(update=REPLACED_FIELDS[provider.dialect])
    try:
        body, _ = request_to_chat(request, provider, model, ToolMap(provider))
    except BadRequest:  # a Responses upstream takes more than Chat can say
        return None
    messages = body["messages"]
    while messages[-1].get("content") == NO_OUTPUT:  # of calls that the client has yet to run
        messages.pop()
    if messages[-1]["role"] != "assistant":
        return None
    body["messages"] = [reasoning.remove_blank_reasoning(message, provider) for message in messages]
    return {name: body[name] for name in ("messages", "tools") if name in body}
