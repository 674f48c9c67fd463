"""The addons that an exchange needs, in the order of `addons/relay.py`."""

from typing import Any

from addons.config.addon import Config
from addons.endpoints.addon import Endpoints
from addons.exchange.addon import Translator
from addons.ingress.addon import Ingress
from addons.transport.addon import Transport


def exchange_addons(*extra_addons: Any) -> list[Any]:
    """New instances of these addons, then the extra addons."""
    addons = [Config(), Transport(), Ingress(), Endpoints(), Translator()]
    return [*addons, *extra_addons]
