"""Logs the report of the start once the ports are open and the upstream has been asked, and again
after a change of the settings that are in it. Serving does not wait for it."""

import asyncio
import logging

from mitmproxy import ctx
from mitmproxy.addonmanager import Loader

from addons.config import OPTION_PREFIX, additional_ports
from addons.start_report import StartReport, report_lines
from addons.startup.facts import build_report, wait_for_listeners
from addons.startup.quiet_log import ConnectionLines, quiet_terminal, restore_terminal
from addons.startup.web_page import save_web_page

SETTINGS_IN_REPORT = frozenset(
    OPTION_PREFIX + name
    for name in ("api_key", "client_key", "config", "model", "port", "ports", "provider")
) | {f"{OPTION_PREFIX}upstream"}

_reports: list[StartReport] = []


def start_report() -> StartReport | None:
    """The latest report; None until the first one is complete."""
    return _reports[-1] if _reports else None


class Startup:
    def __init__(self) -> None:
        self.connection_lines = ConnectionLines()
        self.reporting: asyncio.Task[None] | None = None  # from the first report on

    def load(self, loader: Loader) -> None:
        quiet_terminal(self.connection_lines)

    def running(self) -> None:
        if ctx.options.server:  # else mitmproxy only reads a file
            self.reporting = asyncio.get_running_loop().create_task(report_start())

    def configure(self, updated: set[str]) -> None:
        if self.reporting and not updated.isdisjoint(SETTINGS_IN_REPORT):
            self.reporting.cancel()
            self.reporting = asyncio.get_running_loop().create_task(report_start())

    def done(self) -> None:
        if self.reporting:
            self.reporting.cancel()
        _reports.clear()
        restore_terminal(self.connection_lines)


async def report_start() -> None:
    """Log the report in one record, so that its lines can be copied as they are."""
    await wait_for_listeners(additional_ports())
    report = await build_report()
    if _reports[-1:] != [report]:
        save_web_page(report.mitmweb)
        _reports[:] = [report]
        logging.info("\n".join(report_lines(report)))
