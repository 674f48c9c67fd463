"""Recorded exchanges: sent again, compared with today's translation, exported as cases."""

from addons.replay.check import Check
from addons.replay.commands import Replay
from addons.replay.export_case import case_files
from addons.replay.retranslate import RecordedExchange

__all__ = [
    "Check",
    "RecordedExchange",
    "Replay",
    "case_files",
]
