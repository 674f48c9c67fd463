"""Who may import whom: the rows of the house, and nothing impure below the addons."""

import ast
from pathlib import Path

import pytest

from tests.translate.support import ROOT

ROWS = [
    {
        "codec",
        "sse",
        "responses",
        "provider",
        "taken",
        "errors",
        "envelope",
        "citations",
        "logprobs",
        "chat",
    },
    {
        *("kinds", "live", "events", "outcome", "content", "reasoning", "restore", "schema"),
        *("tools", "quirks", "catalog", "tables", "learn", "search", "patch", "omit"),
        "variants",
    },
    {
        *("calls", "speech", "turns", "parameters", "request", "compaction", "chat_to_responses"),
        *("kept", "ask", "session", "stops"),
    },
    {"passing", "repair", "responses_to_responses", "responses_to_chat", "continuity"},
    {"chat_to_chat", "handshake"},
    {"clients", "upward", "exchange"},
    {"__init__"},
]
IMPURE = {
    "mitmproxy", "tornado", "os", "pathlib", "io", "sys", "time", "datetime", "random", "secrets",
    "uuid", "logging", "asyncio", "threading", "socket", "ssl", "http", "urllib", "httpx",
    "subprocess", "addons", "tests",
}  # fmt: skip
PACKAGE = ROOT / "translate"
FILES = sorted(PACKAGE.glob("**/*.py"))


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
                {f"{module}.{alias.name}" for alias in node.names}
                if module == "translate"
                else {module}
            )
    return found


def row(module: str) -> int:
    return next(number for number, row in enumerate(ROWS) if module in row)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_module_is_pure_and_keeps_its_row(file: Path) -> None:
    named = imports(file)
    assert not {name.partition(".")[0] for name in named} & IMPURE
    ours = {name.split(".")[1] for name in named if name.startswith("translate.")}
    assert all(row(module) <= row(file.stem) for module in ours)


def test_nothing_imports_in_a_circle() -> None:
    after = {
        file.stem: {name.split(".")[1] for name in imports(file) if name.startswith("translate.")}
        for file in FILES
    }
    while free := {module for module, needs in after.items() if not needs & after.keys()}:
        after = {module: needs for module, needs in after.items() if module not in free}
    assert not after


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_module_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 300


def test_public_face_is_what_it_says() -> None:
    import translate

    assert translate.__all__ == sorted(translate.__all__)
    assert all(hasattr(translate, name) for name in translate.__all__)
