"""Ends the relay of `mitmcodex up`."""

import contextlib
import os

import psutil

from ..errors import CommandFailed
from ..running_relay import StartedRelay

STOP_TIMEOUT = 10.0  # s that a relay has to close its streams and end
KILL_TIMEOUT = 5.0  # s


def end_started_relay(relay: StartedRelay) -> str:
    """End it; what was done, for the user. Raises CommandFailed."""
    try:
        has_ended_itself = stop_relay(relay)
    except psutil.Error as error:
        raise CommandFailed(
            f"process {relay.pid} cannot be ended: {error}", f"end it with `kill {relay.pid}`"
        ) from None
    what = f"the relay on port {relay.port} (process {relay.pid})"
    if has_ended_itself:
        return f"ended {what}"
    return f"killed {what}, as it did not end within {STOP_TIMEOUT:.0f} s"


def stop_relay(relay: StartedRelay, timeout: float = STOP_TIMEOUT) -> bool:
    """End the relay's process and wait until it has ended; whether it did so by itself, and was not
    killed after `timeout` s. Raises psutil.Error, for example if the system does not allow it."""
    processes = relay_processes(relay)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, KILL_TIMEOUT)
    return not alive


def relay_processes(relay: StartedRelay) -> list[psutil.Process]:
    """The relay's process; on Windows, that is a small program which runs Python as its child."""
    if not relay.is_alive:
        return []
    process = psutil.Process(relay.pid)
    return [process, *(process.children(recursive=True) if os.name == "nt" else [])]
