"""Our Python source, parsed: what the tests of this folder look at."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
RELAY = ("addons", "translate")
CLI = "scripts/cli"  # the command line, a program beside the relay
TREES = (*RELAY, CLI)
FOLDERS = (*RELAY, "scripts")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """One parsed file; `path` is relative to the root."""

    path: Path
    syntax: ast.Module

    @property
    def tree(self) -> str:
        """Its tree, or else its folder."""
        file = self.path.as_posix()
        return next((tree for tree in TREES if file.startswith(f"{tree}/")), self.path.parts[0])

    @property
    def package(self) -> str:
        return self.path.parent.as_posix()

    @property
    def module(self) -> str:
        return module_name(self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.syntax))

    def place(self, line: int) -> str:
        return f"{self.path.as_posix()}:{line}"


def read_sources(root: Path, folders: Iterable[str] = FOLDERS) -> list[Source]:
    files = sorted(file for folder in folders for file in (root / folder).rglob("*.py"))
    return [
        Source(file.relative_to(root), ast.parse(file.read_text(), str(file))) for file in files
    ]


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def hook_names() -> frozenset[str]:
    """Every hook that the installed mitmproxy calls on an addon."""
    for module in ("addonmanager", "log", "proxy.layers", "proxy.server_hooks"):
        import_module(f"mitmproxy.{module}")  # its hooks register themselves
    return frozenset(import_module("mitmproxy.hooks").all_hooks)


def is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def is_hook(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name in hook_names()
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=other)):
            return {name, other} <= hook_names()  # `error = response`
    return False
