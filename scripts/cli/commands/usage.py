"""`mitmcodex usage`"""

from typing import Annotated

import typer

from ..console import print_json, print_note
from ..listings.usage_report import COLUMNS, LEGEND, Grouping, sum_usage, usage_sums
from ..running_relay import find_running_relay
from ..tables import Column, print_table

ALL_DAYS = 400  # the relay keeps no more


def show_usage(
    by: Annotated[Grouping, typer.Option(help="What a line stands for.")] = Grouping.DAY,
    days: Annotated[int, typer.Option(min=1, max=ALL_DAYS, help="How many days back.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the relay.")] = None,
) -> None:
    """Show tokens and costs by day, model or client.

    Clients are told apart by the names in relay_client_key, since the relay's start. Days are UTC.

    Examples:
      mitmcodex usage --days 7
      mitmcodex usage --by model --json
    """
    sums = usage_sums(find_running_relay(port), by, days)
    if as_json:
        print_json([{by.value: usage.group, **usage.to_json()} for usage in sums])
    elif not sums:
        print_note(f"Nothing was used in the last {days} days.")
    else:
        [total] = sum_usage(("total", usage.counts.values()) for usage in sums)
        rows = [usage.cells() for usage in (*sums, total)]
        print_table([Column(by.value), *COLUMNS], rows)
        print_note(LEGEND)
