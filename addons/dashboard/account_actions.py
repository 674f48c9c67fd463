"""The dashboard's actions on accounts. Faults that the user can cure are raised as ValueError."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from addons.accounts import (
    AccountNotFound,
    LoginEnded,
    LoginServiceUnreachable,
    LoginStoreUnavailable,
    PortInUse,
    account_pool,
    accounts_snapshot,
    current_login,
    login_fault,
)


class AccountActions:
    def accounts_snapshot(self) -> dict[str, Any]:
        return accounts_snapshot()

    async def select_account(self, account_id: str) -> None:
        with faults_as_value_errors():
            await account_pool().select_account(account_id)

    async def log_out(self, account_id: str) -> None:
        with faults_as_value_errors():
            await account_pool().log_out(account_id)

    async def start_login(self, kind: str) -> None:
        login = current_login()
        with faults_as_value_errors():
            if kind == "browser":
                await login.start_browser_login()
            else:
                await login.start_device_login()

    async def cancel_login(self) -> None:
        await current_login().cancel()


@contextmanager
def faults_as_value_errors() -> Iterator[None]:
    """Raises ValueError, with a text for the user, for faults that the user can cure."""
    try:
        yield
    except (AccountNotFound, PortInUse, LoginStoreUnavailable) as error:
        raise ValueError(str(error)) from None
    except (LoginEnded, LoginServiceUnreachable) as error:
        raise ValueError(login_fault(error)) from None
