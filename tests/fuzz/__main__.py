"""Fuzzes exchanges for a number of seconds, from a seed on: `python -m tests.fuzz 60 0`.

What fails is made small, and saved in tests/fuzz/corpus, from which tests/test_fuzz.py runs it.
"""

import hashlib
import sys
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.exchanges import FuzzedExchange, check_exchange
from tests.fuzz.strategies import fuzzed_exchanges

ROUND = 300  # examples between two looks at the clock


class Fuzzer:
    """Counts the exchanges, and keeps the smallest that failed last."""

    def __init__(self) -> None:
        self.count = 0
        self.failing: FuzzedExchange | None = None

    def run_round(self, number: int) -> None:
        """Raises what the smallest failing exchange raises."""

        @seed(number)
        @settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(fuzzed_exchanges())
        def run(fuzzed: FuzzedExchange) -> None:
            self.count += 1
            try:
                check_exchange(fuzzed)
            except BaseException:
                self.failing = fuzzed
                raise

        run()


def main(seconds: float = 60, first: int = 0) -> int:
    """Fuzz for so long; returns the exit status: 1 after a failure."""
    fuzzer, end = Fuzzer(), time.monotonic() + seconds
    number = first
    while time.monotonic() < end:
        try:
            fuzzer.run_round(number)
        except Exception:
            traceback.print_exc()
            if fuzzer.failing:
                digest = hashlib.sha256(repr(fuzzer.failing).encode()).hexdigest()[:8]
                print(f"saved as {fuzzer.failing.save(digest)}")
            return 1
        number += 1
    print(f"{fuzzer.count} exchanges, seeds {first} to {number - 1}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
