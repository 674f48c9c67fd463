"""Foreign text becomes one line that hides nothing."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translate import printable

HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Visible signs of Arabic, Syriac and Kaithi, which count as format characters, and two joiners.
SEEN = {
    *map(chr, range(0x600, 0x606)),
    *"\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\u200c\u200d",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gpt-5.5", "gpt-5.5"),
        ("日本 é 🍞 👩\u200d💻 C:\\dir", "日本 é 🍞 👩\u200d💻 C:\\dir"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nINFO forged\r\n\t", r"a\nINFO forged\r\n\t"),
        ("a\u2028b\u0085", r"a\u2028b\x85"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("half \ud83d", r"half \ud83d"),
        ("tag\U000e0041", r"tag\U000e0041"),
    ],
)
def test_what_cannot_be_seen_becomes_an_escape(text: str, expected: str) -> None:
    assert printable(text, 100) == expected


def test_every_hidden_character_of_unicode_is_escaped() -> None:
    for number in range(0x110000):
        character = chr(number)
        hides = unicodedata.category(character) in HIDDEN and character not in SEEN
        if hides:
            assert printable(character, 10).startswith("\\"), hex(number)


@pytest.mark.parametrize(
    ("text", "expected"), [("abcd", "abcd"), ("abcde", "abc…"), ("a\nbc", r"a\n…"), ("", "")]
)
def test_long_text_is_cut(text: str, expected: str) -> None:
    assert printable(text, 4) == expected


@given(st.text(st.characters()), st.integers(1, 20))
def test_the_limit_holds_for_what_is_shown(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert printable(shown, limit) == shown
    shown.encode()
