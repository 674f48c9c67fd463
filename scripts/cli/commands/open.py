"""`mitmcodex open`"""

from enum import StrEnum
from typing import Annotated

import typer

from ..console import print_line, print_note
from ..errors import CommandFailed
from ..page_opener import open_page
from ..running_relay import RunningRelay, require_running_relay


class RelayPage(StrEnum):
    DASHBOARD = "dashboard"
    MITMWEB = "mitmweb"


def open_relay_page(
    page: Annotated[RelayPage, typer.Argument(help="Which page.")] = RelayPage.DASHBOARD,
    port: Annotated[int | None, typer.Option(help="Port of the relay.")] = None,
) -> None:
    """Open the dashboard, or mitmweb's page, in a browser.

    The URL is printed, too. That of mitmweb has a token in it, which opens the page to anyone.

    Examples:
      mitmcodex open
      mitmcodex open mitmweb
    """
    url = page_url(require_running_relay(port), page)
    print_line(url)
    if not open_page(url):
        print_note("No browser was found here: open the URL in yours.")


def page_url(relay: RunningRelay, page: RelayPage) -> str:
    """Raises CommandFailed if the relay does not have this page."""
    if page == RelayPage.DASHBOARD:
        return relay.dashboard
    if relay.web_page:
        return relay.web_page
    if relay.started and not relay.is_web:
        raise CommandFailed(
            "the relay runs without mitmweb",
            "`mitmcodex down`, then `mitmcodex up --web`, starts it with mitmweb",
        )
    raise CommandFailed(
        "the URL of mitmweb's page is not known", "mitmweb prints it where it was started"
    )
