import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from addons.identity import MARK_VARIABLE
from scripts.cli.relay_process import log as log_module
from scripts.cli.relay_process.log import begin_log
from scripts.cli.running_relay import StartedRelay, save_started_relay
from tests.cli.commands.conftest import BackgroundRelay
from tests.cli.user_home import CommandHere

# Writes a line into the log when its input ends, and ends.
WRITER = "import sys; sys.stdin.read(); open(sys.argv[1], 'a').write('[c]\\n')"


def test_log_has_the_start_report(background_relay: BackgroundRelay, command: CommandHere) -> None:
    command.move_to(background_relay.home)
    logs = command.run_line("logs")
    assert f"listens at http://127.0.0.1:{background_relay.port} " in logs.output
    assert command.run_line("logs -n 0").output == ""


def test_lines_are_followed_until_the_relay_ends(
    command: CommandHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = begin_log()
    log.write_text("[a]\n[b]\n")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(log)],
        env={**os.environ, MARK_VARIABLE: "mark"},
        stdin=subprocess.PIPE,
    ) as process:
        assert process.stdin
        end_input = process.stdin.close

        def wait_for_lines(seconds: float) -> None:
            end_input()
            time.sleep(seconds)

        monkeypatch.setattr(log_module, "time", SimpleNamespace(sleep=wait_for_lines))
        save_started_relay(StartedRelay(process.pid, 4711, "mitmdump", "mark", str(log)))
        logs = command.run_line("logs -f -n 1")
    assert (logs.status, logs.output) == (0, "[b]\n[c]\n")
    assert logs.messages == "The relay has ended.\n"


def test_missing_log_is_explained(command: CommandHere) -> None:
    logs = command.run_line("logs")
    assert logs.status == 1 and "mitmcodex up --detach" in logs.messages
