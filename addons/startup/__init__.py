"""What the relay says at its start, and that its log then has one line for each exchange."""

from addons.startup.addon import Startup, start_report

__all__ = ["Startup", "start_report"]
