"""Each client dialect on the wire: how its request is read, and how its reply is written.

Also Chat on both sides: request and reply are translated to Responses and back, so that every
repair made for Responses clients serves Chat clients, too.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from translate.mappings import annotations
from translate.mappings.parameters import RELAY_PARAMETERS
from translate.providers.profile import COMMON_PARAMETERS, Dialect, Provider
from translate.reply.chat_to_responses import ChatToResponses
from translate.reply.responses_to_chat import ResponsesToChat, fold_chunks
from translate.request.chat_to_responses import ParsedRequest, parse_chat_request
from translate.request.responses_to_chat import request_to_chat
from translate.state.session import request_session_key
from translate.tools.tool_map import ToolMap
from translate.wire import sse
from translate.wire.errors import CODEX_STREAM_CODES, STREAM_ONLY_CODES
from translate.wire.requests import ResponsesRequest, validate_responses_request

Json = dict[str, Any]


class ClientDialect(NamedTuple):
    """How a client's request is read, and how its reply is written."""

    parse_request: Callable[[Json], ParsedRequest]
    encode_event: Callable[[Json], bytes]  # an event or chunk of the reply machine
    stream_end: bytes  # follows the last event, unless the reply failed
    whole_body: Callable[[list[Json]], Json]  # all events → the body for a client without a stream
    # Errors that the client gets only as events; first those of Codex, then those of other clients.
    stream_only_codes: tuple[frozenset[str], frozenset[str]]
    has_output: Callable[[Json], bool]  # whether an event brings a piece of text, reasoning or call


# The fields of a Chat delta that hold text, reasoning, calls or images.
DELTA_OUTPUT_FIELDS = (
    "content", "reasoning_content", "refusal", "tool_calls", "function_call", "images",
)  # fmt: skip


def _chunk_has_output(chunk: Json) -> bool:
    deltas = (choice["delta"] for choice in chunk.get("choices", ()))
    return any(delta.get(field) for delta in deltas for field in DELTA_OUTPUT_FIELDS)


def _event_has_output(event: Json) -> bool:
    return str(event["type"]).endswith(".delta")


CLIENT_DIALECTS: dict[Dialect, ClientDialect] = {
    "responses": ClientDialect(
        parse_request=lambda body: ParsedRequest(validate_responses_request(body)),
        encode_event=sse.encode_event,
        stream_end=b"",
        whole_body=lambda events: events[-1]["response"],
        stream_only_codes=(CODEX_STREAM_CODES, STREAM_ONLY_CODES),
        has_output=_event_has_output,
    ),
    "chat": ClientDialect(
        parse_request=parse_chat_request,
        encode_event=sse.encode_chunk,
        stream_end=b"data: %s\n\n" % sse.STREAM_DONE,
        whole_body=fold_chunks,
        stream_only_codes=(frozenset(), frozenset()),
        has_output=_chunk_has_output,
    ),
}


def read_session_key(body: Json, client: Dialect, history: Sequence[Json] = ()) -> str:
    """`Exchange.session_key` of a decoded body, before the relay knows where to send it.

    `history`: the items behind its `previous_response_id`. Raises BadRequest.
    """
    request = CLIENT_DIALECTS[client].parse_request(body).request
    items = [*history, *request.input_items]
    return request_session_key(request.model_copy(update={"input": items}))


# Fields of OpenAI's own API, which pass only if the provider's profile says so. Any other field is
# the provider's own (`top_k`, `chat_template_kwargs`, OpenRouter's `provider`) and passes.
OPENAI_FIELDS = COMMON_PARAMETERS | {
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
    annotations.LOGPROBS_INCLUDE,
}

ChatToChat = partial(ResponsesToChat, new_inner_machine=ChatToResponses)


def chat_request_to_chat(
    request: ResponsesRequest, provider: Provider, model: str, tools: ToolMap, stored_count: int = 0
) -> tuple[Json, list[str]]:
    """As `request_to_chat`, but fields that are not OpenAI's pass."""
    extra = request.model_extra or {}
    provider_fields = extra.keys() - OPENAI_FIELDS - RELAY_PARAMETERS - provider.refuses
    provider = provider.model_copy(update={"takes": provider.takes | provider_fields})
    return request_to_chat(request, provider, model, tools, stored_count)
