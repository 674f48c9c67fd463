"""Edits of a config.toml, text → text: put a block of lines in, and take it back.

Nothing here is trusted: every new text is parsed, and must hold the data of the old one with the
block in it, or without it."""

import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from difflib import SequenceMatcher
from typing import Any

import tomlkit

from ..toml_texts import EDIT_ERRORS, read_toml

type Json = dict[str, Any]

MARK = "# Written by mitmcodex; `mitmcodex config undo` takes it back."
TABLE_PARENT = "model_providers"
OWN_PROVIDER = "openai"  # Codex's own, which `openai_base_url` redirects
# Codex itself writes this key when its user picks a model, so it counts as unchanged.
CODEX_KEY = "model"
OVERRIDING_KEYS = frozenset({"model_provider", "openai_base_url"})


class NotUnderstood(ValueError):
    """The text cannot be edited safely; the message says why."""


class LinesChanged(ValueError):
    """Somebody has changed the lines that are to be taken back; `lines` are those written."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("lines of mitmcodex were changed")
        self.lines = lines


def parse_config(text: str) -> Json:
    """The data of a config.toml. Raises NotUnderstood."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NotUnderstood(f"it is not valid TOML: {error}") from None
    for name in (TABLE_PARENT, "profiles"):
        tables = data.get(name, {})
        if not isinstance(tables, dict):
            raise NotUnderstood(f"its {name} is not a table")
        if wrong := [key for key in tables if not isinstance(tables[key], dict)]:
            raise NotUnderstood(f"its {name}.{wrong[0]} is not a table")
    if not isinstance(data.get("profile", ""), str):
        raise NotUnderstood("its profile is not a text")
    return data


# Putting a block in


def insert_block(text: str, block: str) -> str:
    """The text with the settings of the block. Comments, order and other settings stay as they are.
    Raises NotUnderstood."""
    newline = "\r\n" if "\r\n" in text else "\n"
    data, entries = parse_config(text), parse_config(block)
    check_profile(data, entries)
    head, bracket, tables = block.partition("[")
    new_lines = [line for line in head.split("\n") if parse_config(line).keys() - data.keys()]
    is_new_table = bracket and not shared_tables(data, entries)
    edited = replace_values(text, data, entries)
    if new_lines:
        edited = newline.join([MARK, *new_lines, ""]) + (newline if edited else "") + edited
    if is_new_table:
        edited = with_final_newline(edited, newline) + (newline if edited else "")
        edited += newline.join([MARK, *(bracket + tables).split("\n")])
    if read_toml(edited) != overlay_entries(data, entries):
        raise NotUnderstood(
            f"its {TABLE_PARENT} are written in a form that mitmcodex does not edit"
        )
    return edited


def check_profile(data: Json, entries: Json) -> None:
    """Refuse a file whose profile in use would override the block."""
    name = data.get("profile", "")
    profile = data.get("profiles", {}).get(name, {})
    if conflicts := sorted(OVERRIDING_KEYS & entries.keys() & profile.keys()):
        raise NotUnderstood(
            f"its profile {name!r}, which is in use, sets {conflicts[0]} and would override it"
        )


def shared_tables(data: Json, entries: Json) -> list[str]:
    """The provider tables of the block that the text has already."""
    parent = data.get(TABLE_PARENT, {})
    return [name for name in entries.get(TABLE_PARENT, {}) if name in parent]


def replace_values(text: str, data: Json, entries: Json) -> str:
    """The text with the block's values for the settings that it has already."""
    keys = [key for key, value in entries.items() if key in data and not isinstance(value, dict)]
    tables = shared_tables(data, entries)
    if not keys and not tables:
        return text
    try:
        document: Any = tomlkit.parse(text)
        if tomlkit.dumps(document) != text:
            raise ValueError("tomlkit does not keep it as it is")
        for key in keys:
            if document[key] != entries[key]:
                document[key] = entries[key]
        for name in tables:
            table, new_values = document[TABLE_PARENT][name], entries[TABLE_PARENT][name]
            for key in [key for key in table if key not in new_values]:
                del table[key]
            table.update(new_values)
        return tomlkit.dumps(document)
    except EDIT_ERRORS:
        raise NotUnderstood("it has a form that mitmcodex does not edit") from None


def overlay_entries(data: Json, entries: Json) -> Json:
    """The data that a text must have once the block is in it."""
    overlaid = {**deepcopy(data), **{k: v for k, v in entries.items() if k != TABLE_PARENT}}
    if TABLE_PARENT in entries:
        overlaid[TABLE_PARENT] = {**data.get(TABLE_PARENT, {}), **entries[TABLE_PARENT]}
    return overlaid


def with_final_newline(text: str, newline: str) -> str:
    return text if not text or text.endswith("\n") else text + newline


# Taking a block back


def take_back(before: str, after: str, current: str) -> str:
    """`current` without the change from `before` to `after`, and with every other change since.

    Raises NotUnderstood, and LinesChanged if the lines of that change are no longer as written."""
    if current == after:
        return before
    written, former, data = parse_config(after), parse_config(before), parse_config(current)
    if has_former_values(former, written, data):  # the user has removed the lines
        return current
    changed_lines = list(added_lines(before, after))
    if CODEX_KEY in data and written.get(CODEX_KEY) != former.get(CODEX_KEY):
        current = replace_values(current, data, {CODEX_KEY: written[CODEX_KEY]})
        data = parse_config(current)
    restored = revert_lines(full_lines(before), full_lines(after), full_lines(current))
    expected = revert_values(former, written, data)
    if restored is None or expected is None or read_toml(restored) != expected:
        raise LinesChanged(changed_lines)
    had_open_end = (
        not before.endswith("\n") and restored.splitlines()[-1:] == before.splitlines()[-1:]
    )
    return restored.rstrip("\r\n") if had_open_end else restored


def added_lines(before: str, after: str) -> Iterator[str]:
    """The lines that only `after` has, without comments and blank ones."""
    old, new = before.splitlines(), after.splitlines()
    for tag, _, _, start, end in SequenceMatcher(None, old, new).get_opcodes():
        if tag in ("insert", "replace"):
            yield from filter(has_setting, new[start:end])


def has_setting(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def revert_lines(before: list[str], after: list[str], current: list[str]) -> str | None:
    """The current lines without the change from `before` to `after`; None if one of the lines that
    it has added is gone."""
    positions = matched_positions(after, current)
    removed = set[int]()
    returning: dict[int, list[str]] = {}  # position in `current` → lines that go before it
    changes = SequenceMatcher(None, before, after).get_opcodes()
    for tag, old_start, old_end, start, end in changes:
        if tag == "equal":
            continue
        if any(has_setting(after[n]) and n not in positions for n in range(start, end)):
            return None
        ours = [positions[n] for n in range(start, end) if n in positions]
        removed.update(ours)
        place = ours[0] if ours else position_after(start, positions)
        returning.setdefault(place, []).extend(before[old_start:old_end])
    lines = list[str]()
    for number in range(len(current) + 1):
        lines += returning.get(number, [])
        if number < len(current) and number not in removed:
            lines.append(current[number])
    return "".join(lines)


def matched_positions(after: list[str], current: list[str]) -> dict[int, int]:
    """Number of a line in `after` → its number in `current`, for the lines that are still there."""
    blocks = SequenceMatcher(None, after, current).get_matching_blocks()
    return {block.a + n: block.b + n for block in blocks for n in range(block.size)}


def position_after(number: int, positions: Mapping[int, int]) -> int:
    """Where something belongs that stood before this line of `after`."""
    return max((positions[n] + 1 for n in positions if n < number), default=0)


def full_lines(text: str) -> list[str]:
    """The lines, each with its end, which the last one may lack in the text."""
    newline = "\r\n" if "\r\n" in text else "\n"
    return with_final_newline(text, newline).splitlines(keepends=True)


def has_former_values(former: Json, written: Json, data: Json) -> bool:
    """Whether `data` has the former values wherever `written` has others. The model may be any that
    was not written."""
    for key in former.keys() | written.keys():
        old, new = former.get(key), written.get(key)
        value = data.get(key, {} if isinstance(new, dict) else None)
        if old == new:
            continue
        if isinstance(new, dict) and isinstance(value, dict):
            if not has_former_values(old if isinstance(old, dict) else {}, new, value):
                return False
        elif value == new or (value != old and key != CODEX_KEY):
            return False
    return True


def revert_values(former: Json, written: Json, data: Json) -> Json | None:
    """`data` with the former values wherever `written` has others; None if it has a third value
    there."""
    reverted = deepcopy(data)
    for key in former.keys() | written.keys():
        old, new, value = former.get(key), written.get(key), data.get(key)
        if old == new:
            continue
        if isinstance(new, dict) and isinstance(value, dict):
            inner = revert_values(old if isinstance(old, dict) else {}, new, value)
            if inner is None:
                return None
            reverted[key] = inner
            if old is None and not inner:
                del reverted[key]
        elif value != new:
            return None
        elif old is None:
            reverted.pop(key, None)
        else:
            reverted[key] = old
    return reverted
