"""The soak script: what it calls a fault, and a short run."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts.soak.__main__ import find_faults

ROOT = Path(__file__).parents[1]
SAMPLE = {"memory": 100.0, "files": 10.0, "tasks": 12.0, "objects": 1000.0}
GOOD = Counter({"response.completed": 5, "response.failed": 1, "abandoned": 1, "status 429": 1})


def test_steady_day_has_no_fault() -> None:
    assert find_faults([SAMPLE] * 100, GOOD, "") == []


@pytest.mark.parametrize(
    ("figure", "added", "fault"),
    [
        ("memory", 0.5, "memory grew from 115 to 135"),
        ("tasks", 1.0, "tasks: 111 are left of 12 at the start"),
        ("files", 0.2, "files: 30 are left of 10 at the start"),
    ],
)
def test_steady_growth_is_a_fault(figure: str, added: float, fault: str) -> None:
    samples = [SAMPLE | {figure: SAMPLE[figure] + added * number} for number in range(100)]
    assert fault in find_faults(samples, GOOD, "")


@pytest.mark.parametrize(
    "outcome", ["no end", "response.completed and response.failed", "status 500", "compact 500"]
)
def test_wrong_end_is_a_fault(outcome: str) -> None:
    assert find_faults([SAMPLE] * 100, Counter({outcome: 2}), "") == [
        f"2 requests ended with {outcome!r}"
    ]


def test_traceback_is_a_fault() -> None:
    [fault] = find_faults([SAMPLE] * 100, GOOD, "fine\nTraceback (most recent call last):\nx")
    assert "Traceback" in fault


def test_short_day_ends_every_request_once() -> None:
    """Too short for a word on growth."""
    day = subprocess.run(
        [sys.executable, "-m", "scripts.soak", "--minutes", "0.05"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    faults = [line for line in day.stderr.splitlines() if " grew from " not in line]
    assert faults == []
    assert "response.completed" in day.stdout
