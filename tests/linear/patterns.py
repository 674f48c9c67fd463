"""Finds the regular expressions of our source, and what in them may need more than linear time.

Two unbounded repeats that can match the same characters, one inside the other or one after the
other with nothing between them that the first cannot match, try every way to share a text. A repeat
that does not give back (`*+`, `(?>…)`) shares nothing.
"""

import ast
import importlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from re import _compiler, _parser
from typing import Any

from tests.linear.growth import LinearRow, repeat_bytes, repeat_to

ROOT = Path(__file__).parents[2]
FUNCTIONS = {
    "compile",
    "search",
    "match",
    "fullmatch",
    "finditer",
    "findall",
    "split",
    "sub",
    "subn",
}
ALPHABET = [*map(chr, range(256)), "｜", "‖", "\u2028", "é", "日"]
LONG = 1_000  # a repeat of more counts as unbounded
MOST_VARIANTS = 300  # of one expression, by its alternatives


@dataclass(frozen=True)
class FoundPattern:
    """A regular expression, where it stands and how its matches may begin."""

    place: str  # `module: name`
    pattern: re.Pattern[Any]
    is_anchored: bool  # whether it is only asked about one position of a text

    def __str__(self) -> str:
        return self.place


@dataclass(frozen=True)
class Step:
    """One element of an expression: the characters that it matches."""

    characters: frozenset[str]
    is_repeat: bool = False  # an unbounded repeat that can give back
    is_optional: bool = False

    @property
    def sample(self) -> str:
        return min(self.characters, default="", key=lambda character: (character < "!", character))


# Where they are ----------------------------------------------------------------------------------


def find_patterns() -> list[FoundPattern]:
    """Every compiled pattern that a module of ours holds, and every literal one in a function."""
    found: dict[tuple[Any, int], FoundPattern] = {}
    for tree in ("translate", "addons"):
        for path in sorted((ROOT / tree).rglob("*.py")):
            if path.stem == "relay":  # mitmproxy's script, which removes itself from the modules
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text()
            for pattern in [*_module_patterns(name, text), *_literal_patterns(name, text)]:
                found.setdefault((pattern.pattern.pattern, pattern.pattern.flags), pattern)
    return list(found.values())


def _module_patterns(name: str, text: str) -> Iterator[FoundPattern]:
    module = importlib.import_module(name)
    for variable, value in list(vars(module).items()):
        methods = set(re.findall(rf"\b{re.escape(variable)}\.(\w+)\(", text))
        is_anchored = bool(methods) and methods <= {"match", "fullmatch"}
        for pattern in _inner_patterns(value):
            yield FoundPattern(f"{name}: {variable}", pattern, is_anchored)


def _inner_patterns(value: Any) -> Iterator[re.Pattern[Any]]:
    match value:
        case re.Pattern():
            yield value
        case dict():
            yield from _inner_patterns(list(value.values()))
        case list() | tuple() | set() | frozenset():
            for element in value:
                yield from _inner_patterns(element)
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from _inner_patterns(getattr(value, field.name))


def _literal_patterns(name: str, text: str) -> Iterator[FoundPattern]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name("re"), attr=function),
                args=[ast.Constant(str() | bytes() as source), *_],
            ) if function in FUNCTIONS - {"compile"}:
                is_anchored = function in ("match", "fullmatch")
                place = f"{name}: line {node.lineno}"
                yield FoundPattern(place, re.compile(source), is_anchored)


# What is in them ---------------------------------------------------------------------------------


def overlapping_repeats(pattern: re.Pattern[Any]) -> list[tuple[str, str]]:
    """A character of each two repeats that share a text, as they stand in the expression."""
    return [
        (first.sample, second.sample)
        for steps in step_lists(pattern)
        for position, first in enumerate(steps)
        if first.is_repeat
        for second in _steps_in_reach(first, steps[position + 1 :])
        if second.is_repeat and first.characters & second.characters
    ]


def _steps_in_reach(first: Step, steps: list[Step]) -> Iterator[Step]:
    """The steps after a repeat up to one that must match what the repeat cannot."""
    for step in steps:
        yield step
        if not step.is_optional and not first.characters & step.characters:
            return


def step_lists(pattern: re.Pattern[Any]) -> list[list[Step]]:
    """The steps of an expression, for each choice of its alternatives."""
    source = pattern.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    flags = pattern.flags & ~re.UNICODE
    parsed = _parser.parse(text, flags)
    return list(itertools.islice(_variants(list(parsed), parsed.state), MOST_VARIANTS))


def _variants(elements: list[Any], state: Any) -> Iterator[list[Step]]:
    if not elements:
        yield []
        return
    for head in _element_variants(elements[0], state):
        for tail in _variants(elements[1:], state):
            yield [*head, *tail]


def _element_variants(element: Any, state: Any) -> Iterator[list[Step]]:
    operation, argument = element
    match str(operation):
        case "SUBPATTERN":
            yield from _variants(list(argument[-1]), state)
        case "BRANCH":
            for alternative in argument[1]:
                yield from _variants(list(alternative), state)
        case "MAX_REPEAT" | "MIN_REPEAT":
            yield from _repeat_variants(*argument, state)
        case "ATOMIC_GROUP":
            for steps in _variants(list(argument), state):
                yield [Step(step.characters, False, step.is_optional) for step in steps]
        case "POSSESSIVE_REPEAT":
            least, _, body = argument
            yield [Step(_all_characters(list(body), state), False, not least)]
        case "AT" | "ASSERT" | "ASSERT_NOT" | "GROUPREF":
            yield []
        case _:
            yield [Step(_matching_characters(element, state))]


def _repeat_variants(least: int, most: Any, body: Any, state: Any) -> Iterator[list[Step]]:
    is_unbounded = most is _parser.MAXREPEAT or most > LONG
    for steps in _variants(list(body), state):
        if is_unbounded and len(steps) == 1:
            yield [Step(steps[0].characters, True, not least)]
            continue
        if not least:
            yield []
        yield steps * 2 if is_unbounded else steps


def _all_characters(elements: list[Any], state: Any) -> frozenset[str]:
    variants = itertools.islice(_variants(elements, state), MOST_VARIANTS)
    return frozenset().union(*(step.characters for steps in variants for step in steps))


def _matching_characters(element: Any, state: Any) -> frozenset[str]:
    one = _compiler.compile(_parser.SubPattern(state, [element]), state.flags)
    return frozenset(character for character in ALPHABET if one.fullmatch(character))


# What may hurt them ------------------------------------------------------------------------------


def attack_rows(patterns: Iterable[FoundPattern]) -> Iterator[LinearRow]:
    """Rows of texts in which each pattern finds many beginnings, or one that never ends."""
    for found in patterns:
        for start, unit in sorted(attack_units(found.pattern)):
            function = found.pattern.fullmatch if found.is_anchored else _find_all(found.pattern)
            make_input: Callable[[int], str | bytes] = repeat_to(unit, start)
            if isinstance(found.pattern.pattern, bytes):
                make_input = repeat_bytes(*(text.encode("latin-1") for text in (unit, start)))
            yield LinearRow(f"{found}: {start!r} {unit!r}", function, make_input, largest=1 << 16)


def _find_all(pattern: re.Pattern[Any]) -> Callable[[Any], None]:
    def run(text: Any) -> None:
        for _ in pattern.finditer(text):
            pass

    return run


def attack_units(pattern: re.Pattern[Any]) -> set[tuple[str, str]]:
    """Beginnings of a match, and what its repeats may then go on with: (start, unit)."""
    units = set()
    for steps in step_lists(pattern):
        start = ""
        for step in steps:
            if step.is_repeat:
                units |= {(start, step.sample), ("", (start or step.sample) + step.sample)}
            start += "" if step.is_optional else step.sample
        units.add(("", start))
    return {(start, unit) for start, unit in units if unit}
