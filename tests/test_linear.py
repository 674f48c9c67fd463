"""The linear law: the work on text of others grows as the text does, up to 4 MB.

One reply or request must not stop the streams of everybody. `tests/linear` has the rows; its
growth.py says how to add one.
"""

import re

import pytest

from tests.linear.addon_rows import ADDON_ROWS
from tests.linear.client_rows import CLIENT_ROWS
from tests.linear.growth import LinearRow, check_growth
from tests.linear.patterns import FoundPattern, attack_rows, find_patterns, overlapping_repeats
from tests.linear.translate_rows import TRANSLATE_ROWS
from tests.linear.wire_rows import WIRE_ROWS


@pytest.mark.parametrize("row", [*WIRE_ROWS, *TRANSLATE_ROWS, *ADDON_ROWS, *CLIENT_ROWS], ids=str)
def test_work_grows_as_the_text_does(row: LinearRow) -> None:
    check_growth(row)


@pytest.fixture(scope="module")
def patterns() -> list[FoundPattern]:
    return find_patterns()


def test_no_two_repeats_of_a_pattern_share_a_text(patterns: list[FoundPattern]) -> None:
    overlaps = {str(found): overlapping_repeats(found.pattern) for found in patterns}
    assert len(overlaps) > 50
    assert not {place: pairs for place, pairs in overlaps.items() if pairs}


def test_every_pattern_withstands_what_it_looks_for(patterns: list[FoundPattern]) -> None:
    for row in attack_rows(patterns):
        check_growth(row)


@pytest.mark.parametrize(
    "expression",
    [
        r"\s*(.*?)\s*x", r"\s*\s*x", r"(?:\w+\s*)*x", r"(a|b)*[bc]+x", r"\w*calls[^<>]*>",
        r"a*(b*)?a*x", r"(?:.*,)+x",
    ],
)  # fmt: skip
def test_repeats_that_share_a_text_are_seen(expression: str) -> None:
    assert overlapping_repeats(re.compile(expression))


@pytest.mark.parametrize(
    "expression",
    [
        r"\d+(\.\d+)?x", r"\s*\w+\s*x", r"(?:\w+,)*x", r"\s*+\s*x", r"(?>\s*)\s*x", r'"[^"]*"\w*x',
        r"[ab]{1,40}[ab]*x",
    ],
)  # fmt: skip
def test_repeats_that_share_no_text_pass(expression: str) -> None:
    assert not overlapping_repeats(re.compile(expression))


def test_pattern_that_begins_anywhere_is_attacked() -> None:
    slow = FoundPattern("planted", re.compile(r"key\d*!"), is_anchored=False)
    with pytest.raises(AssertionError, match="planted"):
        for row in attack_rows([FoundPattern("planted", re.compile(r"\d+!"), is_anchored=False)]):
            check_growth(row)
    for row in attack_rows([slow]):
        check_growth(row)


@pytest.mark.parametrize("exponent", [1, 2])
def test_quadratic_work_is_seen(exponent: int) -> None:
    row = LinearRow("planted", lambda count: sum(range(count)), lambda size: size**exponent)
    if exponent == 1:
        check_growth(row)
    else:
        with pytest.raises(AssertionError, match="planted: .* s for"):
            check_growth(row)
