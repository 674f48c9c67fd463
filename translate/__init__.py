"""Translation between OpenAI's Responses API and Chat Completions. Pure: values in, values out."""

from translate.dialects import read_session_key
from translate.exchange import (
    Exchange,
    ExchangeContext,
    WholeReply,
    decode_request,
    estimate_input_tokens,
    start_compact_exchange,
    start_exchange,
)
from translate.mappings.reasoning import (
    ENCRYPTED_DETAIL,
    REASONING_DETAILS,
    REASONING_LISTS,
    REASONING_STRINGS,
    SEALED_ITEM,
    THINKING_PARTS,
    readable_text,
    reasoning_fields,
    reasoning_text,
)
from translate.providers.catalog import (
    DEFAULT_CATALOG_TEMPLATE,
    CatalogModel,
    find_catalog_template,
    find_model_list,
    models_on_offer,
    models_to_codex,
    models_to_openai,
    parse_model,
    parse_model_list,
)
from translate.providers.catalog_size import catalog_limit, fit_codex_models
from translate.providers.learned import describe_lesson, learn_from_refusal
from translate.providers.model_names import ModelVariant, parse_variant
from translate.providers.profile import Dialect, Provider
from translate.providers.quirks import QUIRKS
from translate.providers.tables import InvalidTable, load_providers
from translate.reply.body_end import has_reply_end
from translate.reply.stream_start import StreamProbe, StreamRefusal, StreamStart
from translate.state.compaction import COMPACTION_TRIGGER, COMPACTION_TYPES, asks_for_compaction
from translate.state.item_reference import (
    items_by_key,
    referenced_keys,
    replace_references,
)
from translate.state.reasoning_memory import (
    ConversationKeys,
    insert_reasoning,
    read_conversation_keys,
    reasoning_to_remember,
)
from translate.state.stored_response import StoredResponse, history_items, list_input_items
from translate.tools.kinds import KIND_BY_CALL_TYPE, OUTPUT_TYPES
from translate.wire.codec import dump_json, json_text, load_json
from translate.wire.connection_faults import (
    connection_fault,
    connection_words,
    is_lasting_fault,
    url_origin,
    without_step,
)
from translate.wire.envelope import Envelope, open_envelope, seal_envelope
from translate.wire.error_bodies import error_text
from translate.wire.errors import (
    ACCOUNT_LIMITS,
    FAILURE_RULES,
    MAX_RETRY_AFTER,
    USAGE_LIMIT_REACHED,
    BadRequest,
    FailureRule,
    RequestTooLarge,
    error_body,
    failure_rule,
    previous_response_missing,
    read_failure,
)
from translate.wire.json_steps import LARGE_JSON, dump_json_in_steps, rough_size
from translate.wire.limits import Limits
from translate.wire.printable import printable
from translate.wire.similar_names import did_you_mean
from translate.wire.sse import STREAM_DONE, SseEvent, SseReader, is_event_stream, split_events

__all__ = [
    "ACCOUNT_LIMITS",
    "BadRequest",
    "COMPACTION_TRIGGER",
    "COMPACTION_TYPES",
    "CatalogModel",
    "ConversationKeys",
    "DEFAULT_CATALOG_TEMPLATE",
    "Dialect",
    "ENCRYPTED_DETAIL",
    "Envelope",
    "Exchange",
    "ExchangeContext",
    "FAILURE_RULES",
    "FailureRule",
    "InvalidTable",
    "KIND_BY_CALL_TYPE",
    "LARGE_JSON",
    "Limits",
    "MAX_RETRY_AFTER",
    "ModelVariant",
    "OUTPUT_TYPES",
    "Provider",
    "QUIRKS",
    "REASONING_DETAILS",
    "REASONING_LISTS",
    "REASONING_STRINGS",
    "RequestTooLarge",
    "SEALED_ITEM",
    "STREAM_DONE",
    "SseEvent",
    "SseReader",
    "StoredResponse",
    "StreamProbe",
    "StreamRefusal",
    "StreamStart",
    "THINKING_PARTS",
    "USAGE_LIMIT_REACHED",
    "WholeReply",
    "asks_for_compaction",
    "catalog_limit",
    "connection_fault",
    "connection_words",
    "decode_request",
    "describe_lesson",
    "did_you_mean",
    "dump_json",
    "dump_json_in_steps",
    "error_body",
    "error_text",
    "estimate_input_tokens",
    "failure_rule",
    "find_catalog_template",
    "find_model_list",
    "fit_codex_models",
    "has_reply_end",
    "history_items",
    "insert_reasoning",
    "is_event_stream",
    "is_lasting_fault",
    "items_by_key",
    "json_text",
    "learn_from_refusal",
    "list_input_items",
    "load_json",
    "load_providers",
    "models_on_offer",
    "models_to_codex",
    "models_to_openai",
    "open_envelope",
    "parse_model",
    "parse_model_list",
    "parse_variant",
    "previous_response_missing",
    "printable",
    "read_conversation_keys",
    "read_failure",
    "read_session_key",
    "readable_text",
    "reasoning_fields",
    "reasoning_text",
    "reasoning_to_remember",
    "referenced_keys",
    "replace_references",
    "rough_size",
    "seal_envelope",
    "split_events",
    "start_compact_exchange",
    "start_exchange",
    "url_origin",
    "without_step",
]
