"""What the tests read of a page: its fenced blocks, links, headings and tables."""

import re
import textwrap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "addons/README.md",
    "translate/README.md",
    ".github/CONTRIBUTING.md",
    ".github/SECURITY.md",
)
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. `language` is "" for a terminal's commands."""

    page: str
    language: str
    text: str

    @property
    def key(self) -> tuple[str, str]:
        """The page and the block's first line, which together name the block."""
        return self.page, self.text.splitlines()[0]

    def __str__(self) -> str:
        return ": ".join(self.key)


@dataclass(frozen=True)
class Page:
    name: str

    @property
    def path(self) -> Path:
        return ROOT / self.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return FENCED.sub("", self.text)

    @property
    def blocks(self) -> list[Block]:
        return [
            Block(self.name, match[2], textwrap.dedent(match[3]).strip())
            for match in FENCED.finditer(self.text)
        ]

    @property
    def links(self) -> list[str]:
        """The targets of links and pictures that are in this repository."""
        targets: list[str] = LINK.findall(self.prose)
        return [target for target in targets if not re.match(r"https?:", target)]

    @property
    def anchors(self) -> set[str]:
        return {anchor_of(heading) for heading in HEADING.findall(self.prose)}

    @property
    def code(self) -> list[str]:
        """The inline code."""
        codes: list[str] = CODE.findall(self.prose)
        return codes

    def first_column(self, heading: str) -> list[str]:
        """The first cells of the table under this heading, without the table's head."""
        section = self.text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
        rows = [line for line in section.splitlines() if line.startswith("|")]
        return [row.split("|")[1].strip() for row in rows[2:]]


def anchor_of(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def all_pages() -> list[Page]:
    return [Page(name) for name in PAGES]


def all_blocks() -> list[Block]:
    return [block for page in all_pages() for block in page.blocks]
