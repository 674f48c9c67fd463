"""`mitmcodex accounts`, `login` and `logout`"""

import sys
import time
from contextlib import suppress
from typing import Annotated

import typer

from ..console import messages, print_json, print_line, print_note
from ..errors import CommandFailed
from ..launcher.used_relay import relay_for_program
from ..listings.account_list import (
    COLUMNS,
    DEVICE_TIMEOUT,
    LOGIN_TIMEOUT,
    account_cells,
    cancel_login,
    find_account,
    list_accounts,
    start_browser_login,
    start_device_login,
    wait_for_login,
)
from ..page_opener import open_page
from ..relay_client import request_json
from ..running_relay import RunningRelay
from ..tables import print_table

Port = Annotated[int | None, typer.Option(help="Port of the relay.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def show_accounts(as_json: AsJson = False, port: Port = None) -> None:
    """List the ChatGPT accounts with their plans, quotas and states.

    `*` marks the selected one. Quotas are those of the last replies, so that a relay that has just
    started knows none.

    Example: mitmcodex accounts --json
    """
    with relay_for_program(port) as used:
        accounts = list_accounts(used.running)
    if as_json:
        print_json(accounts)
    elif accounts:
        print_table(COLUMNS, [account_cells(account, time.time()) for account in accounts])
    else:
        print_note("Nobody is logged in; log in with `mitmcodex login`")


def log_in(
    device: Annotated[
        bool, typer.Option("--device", help="Show a code to enter on any machine.")
    ] = False,
    port: Port = None,
) -> None:
    """Log in with a ChatGPT account, for the relay to use.

    Codex's own login stays as it is.

    Examples:
      mitmcodex login
      mitmcodex login --device
    """
    with relay_for_program(port) as used:
        relay = used.running
        before = {account["id"] for account in list_accounts(relay)}
        try:
            show_login(relay, device)
            with messages.status("Waiting for the login. Ctrl-C gives up."):
                accounts = wait_for_login(relay, DEVICE_TIMEOUT if device else LOGIN_TIMEOUT)
        except KeyboardInterrupt:
            with suppress(CommandFailed):  # the relay has ended, or the login
                cancel_login(relay)
            raise
    new = [account for account in accounts if account["id"] not in before] or accounts
    names = ", ".join(account["email"] or account["id"] for account in new)
    print_line(f"Logged in: {names}")


def show_login(relay: RunningRelay, device: bool) -> None:
    """Start a login, and say where the user goes on with it. Raises CommandFailed."""
    if device:
        code = start_device_login(relay)
        print_line(f"Open {code['url']} and enter the code {code['user_code']}")
        return
    url = start_browser_login(relay)
    print_line(f"Log in at {url}")
    if sys.stdout.isatty():
        open_page(url)


def log_out(
    account: Annotated[str, typer.Argument(help="Its id or address, if there are several.")] = "",
    port: Port = None,
) -> None:
    """Forget the login of a ChatGPT account.

    Example: mitmcodex logout me@example.com
    """
    with relay_for_program(port) as used:
        relay = used.running
        chosen = find_account(list_accounts(relay), account)
        request_json(relay, "POST", "/auth/logout", json={"id": chosen["id"]})
    print_line(f"Logged out: {chosen['email'] or chosen['id']}")
