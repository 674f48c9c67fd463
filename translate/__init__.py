"""Translation between OpenAI's Responses API and Chat Completions. Pure: values in, values out."""

from translate.clients import session_of
from translate.compaction import triggered
from translate.continuity import forgotten, remember, restored
from translate.envelope import Envelope, seal, unseal
from translate.errors import BadRequest, error_body, no_previous, out_of_quota
from translate.exchange import Exchange, Reply, Way, compact, decode, exchange
from translate.handshake import Handshake, Opening, Refused
from translate.kept import Kept, history, listed
from translate.learn import learn, told
from translate.provider import Dialect, Provider
from translate.quirks import QUIRKS
from translate.tables import WrongTable, providers
from translate.variants import Variant, variant

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
