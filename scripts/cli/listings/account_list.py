"""The relay's ChatGPT accounts, and a login that is waited for."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import CommandFailed
from ..relay_client import request_json, send_request
from ..running_relay import RunningRelay
from ..tables import Column

type Account = Mapping[str, Any]  # an entry of `GET /auth/accounts`

POLL_INTERVAL = 0.5  # s between two looks whether the login has ended
LOGIN_TIMEOUT = 660.0  # s; the relay itself gives up after 600, or when a code expires after 900
DEVICE_TIMEOUT = 960.0  # s

COLUMNS = (
    *(Column("account"), Column("plan"), Column("state"), Column("5 hours", is_number=True)),
    *(Column("week", is_number=True), Column("id")),
)
WINDOWS = ("primary", "secondary")


def list_accounts(relay: RunningRelay) -> list[Account]:
    accounts: list[Account] = request_json(relay, "GET", "/auth/accounts")["accounts"]
    return accounts


def account_cells(account: Account, now: float) -> list[str]:
    mark = " *" if account["selected"] else ""
    quota = account["quota"] or {}
    windows = [window_text(quota.get(name)) for name in WINDOWS]
    email = account["email"] or account["id"]
    return [f"{email}{mark}", account["plan"], state_text(account, now), *windows, account["id"]]


def window_text(window: Mapping[str, Any] | None) -> str:
    return f"{window['used_percent']:.0f} % used" if window else ""


def state_text(account: Account, now: float) -> str:
    """`limited (usage_limit_reached, 2 h 5 min)`"""
    details = [account["reason"] or ""]
    if account["until"]:
        minutes = max(0, round((account["until"] - now) / 60))
        details.append(
            f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
        )
    details = [text for text in details if text]
    return f"{account['state']} ({', '.join(details)})" if details else str(account["state"])


def find_account(accounts: Sequence[Account], name: str) -> Account:
    """The account with this id or address; for "", the only one. Raises CommandFailed."""
    if not accounts:
        raise CommandFailed("nobody is logged in", "log in with `mitmcodex login`")
    matches = [
        account for account in accounts if not name or name in (account["id"], account["email"])
    ]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(account["email"] or account["id"] for account in accounts)
    if matches:
        raise CommandFailed("there are several accounts", f"name one of them: {names}")
    raise CommandFailed(f"there is no account {name!r}", f"there are: {names}")


def start_browser_login(relay: RunningRelay) -> str:
    """The URL at which the user logs in. Raises CommandFailed."""
    try:
        reply = send_request(relay, "GET", "/auth/login")
    except CommandFailed as failure:
        raise CommandFailed(failure.message, "try `mitmcodex login --device`") from None
    url: str = reply.headers["location"]
    return url


def start_device_login(relay: RunningRelay) -> Mapping[str, Any]:
    """`user_code` and `url`. Raises CommandFailed."""
    status: Mapping[str, Any] = request_json(relay, "GET", "/auth/login", params={"device": "true"})
    return status


def cancel_login(relay: RunningRelay) -> None:
    """End the login in progress, with the port on which the relay waits for a browser. Raises
    CommandFailed."""
    token = request_json(relay, "GET", "/relay/token")["token"]
    request_json(relay, "POST", "/relay/accounts/cancel", headers={"x-relay-token": token})


def wait_for_login(
    relay: RunningRelay, timeout: float, sleep: Callable[[float], None] = time.sleep
) -> list[Account]:
    """The accounts once the login has ended. Raises CommandFailed if it fails, and after `timeout`
    seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        snapshot = request_json(relay, "GET", "/auth/accounts")
        login = snapshot["login"]
        if login is None:
            accounts: list[Account] = snapshot["accounts"]
            return accounts
        if error := login.get("error"):
            raise CommandFailed(str(error).rstrip("."), "try `mitmcodex login` again")
        sleep(POLL_INTERVAL)
    raise CommandFailed("nobody finished the login in time", "try `mitmcodex login` again")
