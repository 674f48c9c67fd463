"""The start report of a running relay, in the words in which the relay itself prints it."""

import time
from dataclasses import replace

from addons.relay_health import read_health
from addons.start_report import StartReport, labelled_line, report_from_json, report_lines

from .running_relay import RunningRelay
from .user_settings import owner_key

POLL_INTERVAL = 0.1  # s


def relay_lines(relay: RunningRelay, patience: float = 0.0) -> list[str]:
    """What a person needs to know of the relay. `patience`: seconds to wait for its report."""
    if report := fetch_report(relay, patience):
        return report_lines(replace(report, mitmweb=relay.web_page or report.mitmweb))
    upstream = relay.health.get("upstream", "it tells no one without a key of relay_client_key")
    return [
        f"mitmcodex {relay.health['version']} listens at {relay.origin}",
        labelled_line("upstream", upstream),
        labelled_line("dashboard", relay.dashboard),
    ]


def fetch_report(relay: RunningRelay, patience: float = 0.0) -> StartReport | None:
    """The report; None if the relay does not show it, or has not asked its upstream yet."""
    deadline = time.monotonic() + patience
    has_access = "provider" in relay.health
    key = "" if has_access else owner_key()
    health = relay.health if has_access else read_health(relay.port, key)
    while health and "report" in health:
        if (report := report_from_json(health["report"])) or time.monotonic() > deadline:
            return report
        time.sleep(POLL_INTERVAL)
        health = read_health(relay.port, key)
    return None
