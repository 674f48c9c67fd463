"""The addons that carry an exchange, in their order."""

from typing import Any

from addons.codex import Codex
from addons.config import Config
from addons.guard import Guard
from addons.listing import Listing
from addons.routes import Routes
from addons.translator import Translator
from addons.transport import Transport


def chain_of(*more: Any) -> list[Any]:
    """New ones, and more behind them."""
    exchange = [Config(), Transport(), Guard(), Routes(), Codex(), Listing(), Translator()]
    return [*exchange, *more]
