"""Counts the names that our Python source binds.

`python -m tests.architecture.naming` prints a report. test_names.py has the limits, and
.github/CONTRIBUTING.md their reasons."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.architecture.members import duplicate_classes, shared_members
from tests.architecture.sources import (
    FOLDERS,
    FUNCTIONS,
    ROOT,
    TREES,
    Source,
    is_dunder,
    is_hook,
    read_sources,
)

FORBIDDEN = {
    *("told", "said", "made", "found", "heard", "held", "seated", "given", "taken", "carried"),
    *("passed", "asked", "listed", "plain", "one", "more"),
}


# The share of one-word names


@dataclass(frozen=True)
class WordCount:
    """How many functions are defined, and how many of them have a name of one word."""

    functions: int
    one_word: int

    @property
    def share(self) -> float:
        return self.one_word / self.functions if self.functions else 0.0

    def __str__(self) -> str:
        return f"{self.share:6.1%}  {self.one_word:5} of {self.functions:5}"


def count_words(sources: Iterable[Source]) -> WordCount:
    names = [name for source in sources for name in function_names(source)]
    return WordCount(len(names), sum("_" not in name for name in names))


def function_names(source: Source) -> Iterator[str]:
    """Every function and method defined here, without outer underscores.

    Dunder methods are left out, and so are mitmproxy's hooks: methods of our addons."""
    hooks = set(hook_methods(source))
    for node in source.nodes:
        if isinstance(node, FUNCTIONS) and node not in hooks and not is_dunder(node.name):
            yield node.name.strip("_")


def hook_methods(source: Source) -> Iterator[ast.AST]:
    if source.tree == "addons":
        for owner in source.nodes:
            if isinstance(owner, ast.ClassDef):
                yield from (node for node in owner.body if is_hook(node))


# Forbidden names


@dataclass(frozen=True)
class Binding:
    """One place where a name is bound."""

    place: str
    name: str

    def __str__(self) -> str:
        return f"{self.place}: {self.name}"

    @property
    def word(self) -> str:
        """`Told`, `_told` and `TOLD` are one word."""
        return self.name.strip("_").lower()


def forbidden_bindings(sources: Iterable[Source]) -> list[Binding]:
    return [
        binding
        for source in sources
        for binding in source_bindings(source)
        if binding.word in FORBIDDEN
    ]


def source_bindings(source: Source) -> Iterator[Binding]:
    yield Binding(source.place(1), source.module.rpartition(".")[2])
    for node in source.nodes:
        if name := bound_name(node):
            yield Binding(source.place(getattr(node, "lineno", 1)), name)


def bound_name(node: ast.AST) -> str | None:
    """The name that this node alone binds; keys of dicts and keyword arguments bind nothing."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.arg(arg=name) | ast.TypeVar(name=name):
            return name
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
            return name
        case ast.ExceptHandler(name=str(name)) | ast.MatchMapping(rest=str(name)):
            return name
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            return name
        case ast.alias(asname=None, name=name):
            return name.partition(".")[0]
        case ast.alias(asname=name):
            return name
    return None


# The report


def main() -> None:
    sources = read_sources(ROOT)
    print("one-word function names")
    for scope, selection in report_scopes(sources):
        print(f"  {scope:24} {count_words(selection)}")
    bindings = forbidden_bindings(sources)
    print_section("forbidden bindings", [str(binding) for binding in bindings])
    duplicates = duplicate_classes(sources).items()
    print_section("classes with one name", [f"{name}: {places}" for name, places in duplicates])
    print_section("members of several classes", map(str, shared_members(sources).values()))


def report_scopes(sources: list[Source]) -> Iterator[tuple[str, list[Source]]]:
    yield "the trees", [source for source in sources if source.tree in TREES]
    for tree in sorted({source.tree for source in sources}):
        yield tree, [source for source in sources if source.tree == tree]
    for package in sorted({source.package for source in sources} - {*TREES, *FOLDERS}):
        yield package, [source for source in sources if source.package == package]


def print_section(title: str, lines: Iterable[str]) -> None:
    lines = list(lines)
    print(f"\n{title}: {len(lines)}")
    for line in lines:
        print(f"  {line}")


if __name__ == "__main__":
    main()
