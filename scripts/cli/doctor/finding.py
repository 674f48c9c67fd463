"""What a check finds."""

from dataclasses import dataclass
from enum import StrEnum


class Health(StrEnum):
    PASS = "pass"  # noqa: S105 - a word of the report
    WARN = "warn"  # it may be meant so, or matters to some
    FAIL = "fail"  # something does not work


@dataclass(frozen=True)
class DoctorFinding:
    """One line of the report."""

    name: str  # of what was looked at
    status: Health
    text: str  # what was seen, in lower case and without a full stop
    next_step: str = ""  # the one thing to do; "" if there is nothing


def healthy(name: str, text: str) -> DoctorFinding:
    return DoctorFinding(name, Health.PASS, text)


def warning(name: str, text: str, next_step: str = "") -> DoctorFinding:
    return DoctorFinding(name, Health.WARN, text, next_step)


def failure(name: str, text: str, next_step: str = "") -> DoctorFinding:
    return DoctorFinding(name, Health.FAIL, text, next_step)
