"""ChatGPT accounts: how they log in, where logins are saved, and which account serves a request."""

from addons.accounts.addon import (
    Accounts,
    account_pool,
    account_summaries,
    accounts_snapshot,
    any_account_headers,
    current_login,
)
from addons.accounts.claims import chatgpt_account_id, is_openai_token
from addons.accounts.codex_auth_file import NotALogin, import_login
from addons.accounts.lease import Lease
from addons.accounts.locked_file import LoginStoreUnavailable
from addons.accounts.login import login_fault
from addons.accounts.login_callback import PortInUse
from addons.accounts.oauth import LoginEnded, LoginServiceUnreachable
from addons.accounts.pool import AccountUnavailable
from addons.accounts.registry import AccountNotFound
from addons.accounts.vault import delete_keyring_logins, has_keyring_logins

__all__ = [
    "AccountNotFound",
    "AccountUnavailable",
    "Accounts",
    "Lease",
    "LoginEnded",
    "LoginServiceUnreachable",
    "LoginStoreUnavailable",
    "NotALogin",
    "PortInUse",
    "account_pool",
    "account_summaries",
    "accounts_snapshot",
    "any_account_headers",
    "chatgpt_account_id",
    "current_login",
    "delete_keyring_logins",
    "has_keyring_logins",
    "import_login",
    "is_openai_token",
    "login_fault",
]
