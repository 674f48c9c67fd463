"""What is installed: Python, and a mitmproxy whose internals fit."""

import sys

from mitmproxy import version

from addons.transport import TESTED_VERSIONS, first_difference

from .context import DoctorContext
from .finding import DoctorFinding, failure, healthy

OLDEST_PYTHON = 3, 12


def check_python(context: DoctorContext) -> DoctorFinding:
    number = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        return healthy("Python", number)
    return failure("Python", f"{number} is too old", "use Python 3.12 or later")


def check_mitmproxy(context: DoctorContext) -> DoctorFinding:
    if difference := first_difference():
        return failure("mitmproxy", difference, f"install mitmproxy=={TESTED_VERSIONS[-1]}")
    return healthy("mitmproxy", f"{version.VERSION}, whose internals fit")
