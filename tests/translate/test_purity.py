"""Who may import whom: the rows of the house, and nothing impure below the addons."""

import ast
from pathlib import Path

import pytest

from tests.translate.support import ROOT

ROWS = ["wire", "providers", "tools", "mappings", "reply", "state", "request"]
ROWS += ["dialects", "exchange", "__init__"]
IMPURE = {
    "mitmproxy", "tornado", "os", "pathlib", "io", "sys", "time", "datetime", "random", "secrets",
    "uuid", "logging", "asyncio", "threading", "socket", "ssl", "http", "urllib", "httpx",
    "subprocess", "addons", "tests",
}  # fmt: skip
PACKAGE = ROOT / "translate"
FILES = sorted(PACKAGE.glob("**/*.py"))


def name_of(file: Path) -> str:
    """The dotted name of a module; of a package for its `__init__`."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            module = node.module or ""
            found |= (
                {f"{module}.{alias.name}" for alias in node.names} | {module}
                if module.startswith("translate")
                else {module}
            )
    return found


def package(module: str) -> str:
    """`wire` for `translate.wire.sse`, `exchange` for `translate.exchange`."""
    return {"clients": "dialects", "upward": "exchange"}.get(
        name := module.split(".")[1] if "." in module else "__init__", name
    )


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_module_is_pure_and_keeps_its_row(file: Path) -> None:
    named = imports(file)
    assert not {name.partition(".")[0] for name in named} & IMPURE
    row = ROWS.index(package(name_of(file)))
    ours = {package(name) for name in named if name.startswith("translate.")}
    assert all(ROWS.index(other) <= row for other in ours)


def test_nothing_imports_in_a_circle() -> None:
    after = {
        name_of(file): {name for name in imports(file) if name.startswith("translate.")}
        for file in FILES
    }
    while free := {module for module, needs in after.items() if not needs & after.keys()}:
        after = {module: needs for module, needs in after.items() if module not in free}
    assert not after


def test_public_face_is_what_it_says() -> None:
    import translate

    assert translate.__all__ == sorted(translate.__all__)
    assert all(hasattr(translate, name) for name in translate.__all__)
