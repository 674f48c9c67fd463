"""The pages say what holds: their tables, links and messages. Their commands run in
tests/test_page_commands.py."""

import ast
import re
from pathlib import Path

import pytest

from tests.pages.markdown import ROOT, Page, all_pages
from tests.pages.tables import GENERATED, PAGES_WITH_TABLES, with_new_tables

README = Page("README.md")
EVERY_PAGE = pytest.mark.parametrize("page", all_pages(), ids=lambda page: page.name)
MESSAGES_OF_CODEX = {"Model metadata for … not found"}
OUR_PATH = re.compile(r"(addons|translate|scripts|tests|\.github)/[\w./-]+|\./scripts/\w+")


def test_readme_is_short_and_begins_with_run_and_test() -> None:
    assert len(README.text.splitlines()) <= 200
    assert [block.text for block in README.blocks[:2]] == ["./scripts/run", "./scripts/test"]


@EVERY_PAGE
def test_generated_tables_are_up_to_date(page: Page) -> None:
    """`./scripts/readme` writes them."""
    assert [name for _, name, _ in GENERATED.findall(page.text)] == PAGES_WITH_TABLES.get(
        page.name, []
    )
    assert with_new_tables(page.text) == page.text


@EVERY_PAGE
def test_links_lead_to_files_and_headings(page: Page) -> None:
    for link in page.links:
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.exists(), link
        if anchor:
            assert anchor in Page(str(target.relative_to(ROOT))).anchors, link


@EVERY_PAGE
def test_paths_of_this_repository_exist(page: Page) -> None:
    for code in page.code:
        path = code.split(":")[0].split(" ")[0]
        if OUR_PATH.fullmatch(path):
            assert (ROOT / path).exists(), code


def test_readme_quotes_messages_that_exist() -> None:
    """`…` stands for any text; statuses are filled in when a message is made."""
    cells = README.first_column("When something goes wrong")
    messages = [code for cell in cells for code in re.findall("`([^`]+)`", cell)]
    assert set(messages) >= MESSAGES_OF_CODEX and len(messages) >= 10
    files = [texts_of(path.read_text("utf-8")) for path in source_files()]
    for message in set(messages) - MESSAGES_OF_CODEX:
        pieces = [piece.strip(" :") for piece in re.split(r"…|\b\d{3}\b|[()]", message)]
        words = [piece for piece in pieces if piece]
        assert any(all(word in text for word in words) for text in files), message


def source_files() -> list[Path]:
    return [file for name in ("addons", "translate") for file in (ROOT / name).rglob("*.py")]


def texts_of(source: str) -> str:
    """Every string of a module, the fixed parts of its f-strings included."""
    constants = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    return "\n".join(node.value for node in constants if isinstance(node.value, str))
