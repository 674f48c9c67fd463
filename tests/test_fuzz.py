"""What the fuzzer found stays mended, and its first examples pass. `./scripts/fuzz` runs longer."""

import pytest

from tests.fuzz.__main__ import Fuzzer
from tests.fuzz.exchanges import FuzzedExchange, check_exchange, load_corpus

FOUND_CASES = load_corpus()


@pytest.mark.parametrize("fuzzed", FOUND_CASES.values(), ids=FOUND_CASES)
def test_case_that_was_found_stays_mended(fuzzed: FuzzedExchange) -> None:
    check_exchange(fuzzed)


def test_first_examples_pass() -> None:
    fuzzer = Fuzzer()
    fuzzer.run_round(0)
    assert fuzzer.count > 100
