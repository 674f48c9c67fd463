"""Translation between OpenAI's Responses API and Chat Completions. Pure: values in, values out."""

from translate.errors import BadRequest, error_body, out_of_quota
from translate.exchange import Exchange, Reply, Way, compact, decode, exchange
from translate.provider import Dialect, Provider, providers
from translate.quirks import QUIRKS

__all__ = [
    "BadRequest",
    "Dialect",
    "Exchange",
    "Provider",
    "QUIRKS",
    "Reply",
    "Way",
    "compact",
    "decode",
    "error_body",
    "exchange",
    "out_of_quota",
    "providers",
]
