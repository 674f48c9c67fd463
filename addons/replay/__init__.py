"""Recorded exchanges: sent again, compared with today's translation, exported as cases."""

from addons.replay.check import Check
from addons.replay.commands import Replay

__all__ = [
    "Check",
    "Replay",
]
