"""The requests that the relay answers itself, on its own port and on OpenAI's hosts."""

from addons.endpoints.addon import Endpoints

__all__ = [
    "Endpoints",
]
