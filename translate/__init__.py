"""Translation between OpenAI's Responses API and Chat Completions. Pure: values in, values out."""

from translate.clients import session_of
from translate.exchange import Exchange, Reply, Way, compact, decode, exchange
from translate.providers.learned import learn, told
from translate.providers.model_names import Variant, variant
from translate.providers.profile import Dialect, Provider
from translate.providers.quirks import QUIRKS
from translate.providers.tables import WrongTable, providers
from translate.reply.stream_start import Handshake, Opening, Refused
from translate.state.compaction import triggered
from translate.state.reasoning_memory import forgotten, remember, restored
from translate.state.stored_response import Kept, history, listed
from translate.wire.envelope import Envelope, seal, unseal
from translate.wire.errors import BadRequest, error_body, no_previous, out_of_quota

__all__ = [
    "BadRequest",
    "Dialect",
    "Envelope",
    "Exchange",
    "Handshake",
    "Kept",
    "Opening",
    "Provider",
    "QUIRKS",
    "Refused",
    "Reply",
    "Variant",
    "Way",
    "WrongTable",
    "compact",
    "decode",
    "error_body",
    "exchange",
    "forgotten",
    "history",
    "learn",
    "listed",
    "no_previous",
    "out_of_quota",
    "providers",
    "remember",
    "restored",
    "seal",
    "session_of",
    "told",
    "triggered",
    "unseal",
    "variant",
]
