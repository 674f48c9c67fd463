import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cli.errors import CommandFailed
from scripts.cli.launcher.child_process import replace_process, run_program

ROOT = Path(__file__).parents[3]
RUN = "import sys; from scripts.cli.launcher.child_process import run_program as run;"
# A program that says which signal it gets, and ends with 3.
LISTENER = """
import os, signal, time
def end(number, frame):
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
    os._exit(3)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, end)
os.write(1, b"ready\\n")
time.sleep(30)
"""


@pytest.mark.parametrize(("code", "status"), [("exit 7", 7), ("true", 0), ("kill -9 $$", 137)])
def test_exit_status(code: str, status: int) -> None:
    assert run_program(["sh", "-c", code], os.environ) == status


def test_program_that_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="cannot be started: Permission denied") as failure:
        run_program([str(tmp_path)], os.environ)
    assert failure.value.status == 127
    with pytest.raises(CommandFailed, match="cannot be started"):
        replace_process([str(tmp_path / "missing")], os.environ)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_go_on_to_the_program(number: signal.Signals) -> None:
    code = f"{RUN} sys.exit(run([sys.executable, '-c', {LISTENER!r}], {{}}))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"{number.name}\n"
        assert process.wait(10) == 3


def test_handlers_are_restored() -> None:
    former = signal.getsignal(signal.SIGINT)
    run_program(["true"], os.environ)
    assert signal.getsignal(signal.SIGINT) is former


def test_leash_ends_the_program_with_its_input() -> None:
    leash = ROOT / "scripts" / "cli" / "launcher" / "leash.py"
    with subprocess.Popen(
        [sys.executable, "-I", str(leash), sys.executable, "-c", LISTENER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        assert process.stdout.readline() == "ready\n"
        process.stdin.close()
        assert process.stdout.readline() == "SIGTERM\n"
        assert process.wait(10) == 3
