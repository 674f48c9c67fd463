import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from addons.identity import MARK_VARIABLE
from scripts.cli.relay_process.stop import stop_relay
from scripts.cli.running_relay import StartedRelay

# Says that it is ready, and does not heed SIGTERM if it is told so.
PROGRAM = """
import signal, sys, time
if sys.argv[1] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture(params=["deaf", "ready to end"])
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", PROGRAM, request.param]
    environment = {**os.environ, MARK_VARIABLE: "mark"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_process_that_does_not_end_is_killed(process: subprocess.Popen[bytes]) -> None:
    is_deaf = "deaf" in process.args
    relay = StartedRelay(process.pid, 1, "mitmdump", "mark")
    assert relay.is_alive
    assert stop_relay(relay, 0.3 if is_deaf else 10) is not is_deaf
    assert not relay.is_alive


@pytest.mark.parametrize("process", ["ready to end"], indirect=True)
def test_process_with_a_reused_number_is_left_alone(process: subprocess.Popen[bytes]) -> None:
    relay = StartedRelay(process.pid, 1, "mitmdump", "mark of an earlier relay")
    assert not relay.is_alive and stop_relay(relay)
    assert process.poll() is None
