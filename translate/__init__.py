"""Translation between OpenAI's Responses API and Chat Completions. Pure: values in, values out."""

from translate.errors import BadRequest, error_body, no_previous, out_of_quota
from translate.exchange import Exchange, Reply, Way, compact, decode, exchange
from translate.kept import Kept, history, listed
from translate.provider import Dialect, Provider, providers
from translate.quirks import QUIRKS

__all__ = [
    "BadRequest",
    "Dialect",
    "Exchange",
    "Kept",
    "Provider",
    "QUIRKS",
    "Reply",
    "Way",
    "compact",
    "decode",
    "error_body",
    "exchange",
    "history",
    "listed",
    "no_previous",
    "out_of_quota",
    "providers",
]
