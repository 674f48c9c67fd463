"""relay.toml: any setting by its name without prefix, and tables for providers of one's own."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import platformdirs

from translate import Provider, WrongTable, providers

TABLES = "providers"
HEAD = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?$")
KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w.-])+)\s*=""")


class Wrong(ValueError):
    """Settings that cannot be: one line each in `args`."""


@cache
def ours() -> str:
    root = Path(__file__).parents[2]
    return (root / "translate" / "providers" / "providers.toml").read_text("utf-8")


@cache
def known() -> Mapping[str, Provider]:
    """The providers of providers.toml."""
    return providers(ours())


def usual() -> Path:
    """Where the file is looked for, unless `relay_config` says."""
    return platformdirs.user_config_path("codex-relay", appauthor=False) / "relay.toml"


@dataclass(frozen=True)
class File:
    path: Path
    text: str
    options: Mapping[str, Any]
    providers: Mapping[str, Provider]  # ours, with the user's laid over them
    served: tuple[str, ...]  # those that the user has a table for

    @classmethod
    def none(cls) -> Self:
        return cls(usual(), "", {}, known(), ())

    @classmethod
    def read(cls, given: str, fields: Iterable[str]) -> Self:
        """The file at this path, or at the usual one, where none is needed. Raises Wrong."""
        path = Path(given).expanduser() if given else usual()
        if not given and not path.is_file():
            return cls.none()
        try:
            text = path.read_text("utf-8-sig")
            options: dict[str, Any] = tomllib.loads(text)
        except (OSError, ValueError) as error:  # a TOML error names line and column itself
            why = error.strerror if isinstance(error, OSError) else error
            raise Wrong(f"{path}: {why}") from None
        tables = options.pop(TABLES, {})
        if faults := list(unknown(options, (*fields, TABLES))):
            raise Wrong(*(f"{path}:{line_of(text, [x.split()[0]])}: {x}" for x in faults))
        if not isinstance(tables, dict):
            raise Wrong(f"{path}:{line_of(text, [TABLES])}: {TABLES} must have a table a provider")
        try:
            found = providers(ours(), tables)
        except WrongTable as wrong:
            line = line_of(text, [TABLES, *wrong.place])
            raise Wrong(f"{path}:{line}: {TABLES}.{wrong}") from None
        return cls(path, text, options, found, tuple(tables))

    def place(self, field: str) -> str:
        return f"{self.path}:{line_of(self.text, [field])}"


def unknown(names: Iterable[str], valid: Iterable[str]) -> Iterator[str]:
    """A line for each name that looks like a setting's and is none."""
    valid = sorted(valid)
    for name in sorted(set(names).difference(valid)):
        near = difflib.get_close_matches(name, valid, 1, 0.75)
        yield f"{name} is unknown: " + (f"did you mean {near[0]}?" if near else "remove it")


def line_of(text: str, path: list[str]) -> int:
    """The line of a TOML text in which the thing at this path is, as near as can be told."""
    best, depth, table = 1, 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if head := HEAD.match(line):
            table = keys(head[1])
        key = KEY.match(line)
        here = [*table, *(keys(key[1]) if key else [])]
        if len(here) > depth and path[: len(here)] == here:
            best, depth = number, len(here)
    return best


def keys(text: str) -> list[str]:
    """The names in a dotted key."""
    try:
        found: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return []
    names = []
    while isinstance(found, dict):
        [(name, found)] = found.items()
        names.append(name)
    return names
