"""Which lines of mitmproxy's reach the terminal."""

import io
import logging
from typing import Any

import pytest
from mitmproxy import ctx
from mitmproxy.addons.dumper import Dumper
from mitmproxy.addons.termlog import TermLog
from mitmproxy.test import taddons

from addons.startup.quiet_log import ConnectionLines, quiet_terminal, restore_terminal

CONNECTION, PAGE = "mitmproxy.proxy.server", "mitmproxy.tools.web.master"
LISTENER = "mitmproxy.proxy.mode_servers"
HIDDEN_LINES = [
    (CONNECTION, logging.INFO, "client connect"),
    (CONNECTION, logging.INFO, "server disconnect 127.0.0.1:9"),
    (CONNECTION, logging.INFO, "error establishing server connection: [Errno 111] …"),
    (LISTENER, logging.INFO, "HTTP(S) proxy listening at *:8080."),
    (PAGE, logging.INFO, "Web server listening at http://127.0.0.1:8081/"),
    ("tornado.access", logging.WARNING, "403 GET /relay/flow/7"),
]
LINES = [
    *HIDDEN_LINES,
    ("tornado.access", logging.ERROR, "500 GET /"),
    (CONNECTION, logging.INFO, "Client TLS handshake failed. The client disconnected during …"),
    (CONNECTION, logging.WARNING, "Client TLS handshake failed."),
    (CONNECTION, logging.INFO, "client kill connection"),
    (CONNECTION, logging.ERROR, "mitmproxy has crashed!"),
    (LISTENER, logging.INFO, "TUN interface created: tun0"),
    ("mitmproxy.addons.proxyserver", logging.ERROR, "failed to listen on *:1 with [Errno 13]"),
    ("mitmproxy.addons.save", logging.INFO, "saved"),
    ("root", logging.INFO, "demo → demo · 1 ms"),
]


def printed_lines(**options: Any) -> list[str]:
    """What of LINES the terminal shows with these options."""
    output = io.StringIO()
    terminal = TermLog(out=output)
    lines = ConnectionLines()
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    try:
        with taddons.context(terminal, Dumper()):
            ctx.options.update(**options)
            quiet_terminal(lines)
            for name, level_of_line, text in LINES:
                logging.getLogger(name).log(level_of_line, text)
            restore_terminal(lines)
            logging.getLogger(CONNECTION).info("client disconnect")
    finally:
        terminal.uninstall()
        root.setLevel(level)
    return [line.partition("] ")[2] for line in output.getvalue().splitlines()]


def test_connections_are_hidden_and_faults_are_not() -> None:
    hidden = {text for _, _, text in HIDDEN_LINES}
    assert printed_lines() == [
        *(text for _, _, text in LINES if text not in hidden),
        "client disconnect",  # the filter is gone
    ]


@pytest.mark.parametrize("options", [{"termlog_verbosity": "info"}, {"flow_detail": 2}])
def test_users_get_all_lines_that_they_ask_for(options: dict[str, Any]) -> None:
    assert printed_lines(**options) == [*(text for _, _, text in LINES), "client disconnect"]


def test_fewer_flows_are_no_wish_for_more_lines() -> None:
    assert "client connect" not in printed_lines(flow_detail=0)
