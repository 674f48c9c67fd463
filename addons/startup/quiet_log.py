"""Keeps the terminal to what the relay itself says: its start, and one line for each exchange.

mitmproxy logs four lines for each connection. They stay in mitmweb's event log, and in the terminal
for a user who sets `termlog_verbosity` or `flow_detail`, as -v does."""

import logging
import re
import sys
from io import TextIOWrapper
from typing import NamedTuple

from mitmproxy import ctx
from mitmproxy.addons.termlog import TermLogHandler

from addons.config import is_set_by_user
from addons.ingress import is_named_fault


class HiddenLines(NamedTuple):
    """Lines of a logger, or of one below it, that are hidden up to this level."""

    logger: str
    highest_level: int
    text_pattern: re.Pattern[str] = re.compile("")  # of how the line begins


# Lines about connections and attempts that name no fault, or one that the exchange's own line has;
# about listeners and mitmweb's page, which the report of the start has; and about requests to that
# page. All others stay, as mitmproxy logs many reasons for a failed connection at INFO.
HIDDEN_LINES = (
    HiddenLines(
        "mitmproxy.proxy.server",
        logging.INFO,
        re.compile(
            r"(client|server) (dis)?connect\b|streaming re(quest|sponse) "
            r"|error establishing server connection|closing connection due to inactivity|relay: ",
            re.I,
        ),
    ),
    HiddenLines(
        "mitmproxy.proxy.mode_servers", logging.INFO, re.compile(r"\A.* (listening at|stopped\.$)")
    ),
    HiddenLines("mitmproxy.tools.web", logging.INFO),
    HiddenLines("tornado.access", logging.WARNING),
)


class ConnectionLines(logging.Filter):
    """Lets everything pass but mitmproxy's lines about connections, and its errors about a port
    about which the relay has logged one."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not is_hidden(record) or wants_full_log()


def is_hidden(record: logging.LogRecord) -> bool:
    for lines in HIDDEN_LINES:
        if record.name.startswith(lines.logger) and record.levelno <= lines.highest_level:
            return lines.text_pattern.match(record.getMessage()) is not None
    return record.name.startswith("mitmproxy.") and is_named_fault(record)


def wants_full_log() -> bool:
    """Whether the user has asked for mitmproxy's own output."""
    asks_for_flows = is_set_by_user("flow_detail") and getattr(ctx.options, "flow_detail", 0) > 0
    return is_set_by_user("termlog_verbosity") or asks_for_flows


def quiet_terminal(connection_lines: logging.Filter) -> None:
    """Hide the lines in the terminal, if there is one, and let what stays appear at once."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # into a pipe or a file as well
    for handler in terminal_handlers():
        handler.addFilter(connection_lines)


def restore_terminal(connection_lines: logging.Filter) -> None:
    for handler in terminal_handlers():
        handler.removeFilter(connection_lines)


def terminal_handlers() -> list[TermLogHandler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, TermLogHandler)]
