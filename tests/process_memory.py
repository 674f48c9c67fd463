"""How much memory a process takes, on Linux."""

import contextlib
import re
from pathlib import Path

import pytest

MEGABYTE = 1 << 20
NEEDS_PROC = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="this system does not tell a process's memory"
)


def peak_memory(pid: int) -> int:
    """The most bytes that were resident at the same time, since the start or `reset_peak`."""
    return status_bytes(pid, "VmHWM")


def reset_peak(pid: int) -> None:
    """Let `peak_memory` count from now on, where the system allows it."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def address_space(pid: int) -> int:
    """Bytes of addresses that the process has reserved."""
    return status_bytes(pid, "VmSize")


def status_bytes(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
    assert match
    return int(match[1]) << 10
