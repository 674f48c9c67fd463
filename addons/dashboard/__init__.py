"""A page that shows the relay's exchanges, accounts and providers as they change."""

from addons.dashboard.account_actions import AccountActions
from addons.dashboard.addon import Dashboard

__all__ = [
    "AccountActions",
    "Dashboard",
]
