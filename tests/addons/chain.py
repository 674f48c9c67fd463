"""The addons that carry an exchange, in their order."""

from typing import Any

from addons.config.addon import Config
from addons.endpoints.codex_calls import Codex
from addons.endpoints.models import Listing
from addons.exchange.addon import Translator
from addons.ingress.access import Guard
from addons.ingress.routes import Routes
from addons.transport.relay_stream import Transport


def chain_of(*more: Any) -> list[Any]:
    """New ones, and more behind them."""
    exchange = [Config(), Transport(), Guard(), Routes(), Codex(), Listing(), Translator()]
    return [*exchange, *more]
