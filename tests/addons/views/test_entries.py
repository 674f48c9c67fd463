"""Entries: as blocks of a page, and matched with those of a translation."""

import pytest

from addons.views.entries import (
    Entry,
    group_matches,
    match_entries,
    move_outputs_to_calls,
    role_category,
)


def test_prose_is_wrapped_and_arguments_of_calls_are_not() -> None:
    text = "word " * 50
    assert Entry(0, "user", "user", text).shown_text().count("\n") == 2
    assert "\n" not in Entry(0, "call", "call", text).shown_text()


def test_instructions_are_folded() -> None:
    entry = Entry(0, "system", "developer", "\n".join(f"rule {n}" for n in range(50)))
    assert entry.to_block() == (
        "━━ 0 · developer\nrule 0\nrule 1\nrule 2\nrule 3\nrule 4\nrule 5\n⋯ 389 B in all ⋯\n"
    )


def test_entries_outside_the_conversation_have_no_number() -> None:
    assert Entry(-1, "system", "instructions", "").headline() == "instructions"


@pytest.mark.parametrize(
    ("role", "category"),
    [("developer", "system"), ("user", "user"), ("critic", "other"), (None, "other")],
)
def test_each_role_has_a_category(role: str | None, category: str) -> None:
    assert role_category(role) == category


def test_outputs_follow_their_calls() -> None:
    entries = [
        Entry(0, "call", "a", "", "c1"),
        Entry(1, "call", "b", "", "c2"),
        Entry(2, "output", "of b", "", "c2"),
        Entry(3, "output", "of a", "", "c1"),
        Entry(4, "output", "of nothing", "", "c9"),
    ]
    assert [entry.index for entry in move_outputs_to_calls(entries)] == [0, 3, 1, 2, 4]


def test_entries_are_matched_by_call_by_text_and_by_part_of_a_text() -> None:
    old = [
        Entry(0, "system", "developer", "One."),
        Entry(1, "system", "developer", "Two."),
        Entry(2, "user", "user", "Hello."),
        Entry(3, "reasoning", "reasoning", ""),
        Entry(4, "call", "call of a", "x", "c1"),
    ]
    new = [
        Entry(0, "system", "system", "One.\n\nTwo."),
        Entry(1, "user", "user", "Hello."),
        Entry(2, "call", "call of a", "y", "c1"),
    ]
    assert match_entries(old, new) == {0: 0, 1: 0, 2: 1, 4: 2}
    assert list(group_matches(old, new)) == [
        (old[:2], new[:1]),
        (old[2:3], new[1:2]),
        (old[3:4], []),
        (old[4:], new[2:]),
    ]


def test_entry_whose_text_changed_is_matched_between_its_neighbours() -> None:
    old = [Entry(0, "user", "user", "A"), Entry(1, "user", "user", "B and a film")]
    new = [Entry(0, "user", "user", "A"), Entry(1, "user", "user", "B")]
    assert match_entries(old, new) == {0: 0, 1: 1}
