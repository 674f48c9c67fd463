"""README's tables, from providers.toml and settings.py; run as a program, writes them there."""

import re
from pathlib import Path

from addons.config.config_file import known
from addons.config.settings import FIELDS, SECRETS
from translate import Provider

README = Path(__file__).parents[1] / "README.md"
MADE = re.compile(r"(?s)(<!-- (\w+), made by scripts/readme -->\n).*?(<!-- end -->)")
HEAD = (
    *("provider", "name", "base URL", "key variable", "port", "speaks", "earlier thinking"),
    "quirks",
)
BACK = {
    "echo": "as it came",
    "reasoning_content": "`reasoning_content`",
    "reasoning": "`reasoning`",
    "think": "`<think>`",
    "parts": "content parts",
    "never": "stays here",
}


def providers() -> str:
    return table(HEAD, [row(one) for one in known().values() if one.key_env])


def options() -> str:
    head = ("option", "default", "meaning", "example")
    return table(head, [option(name) for name in FIELDS])


def option(name: str) -> tuple[str, ...]:
    field = FIELDS[name]
    default: object = field.default
    if name in SECRETS or default in ("", (), None):
        default = ""
    elif isinstance(default, bool):
        default = "on" if default else "off"
    elif isinstance(default, int | float):
        default = f"{default:g}"
    assert field.description and field.examples
    return f"`relay_{name}`", str(default), field.description, f"`{field.examples[0]}`"


TABLES = {"options": options, "providers": providers}


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in [head, *rows])
    first, *rest = (f"| {line} |\n" for line in lines)
    return "".join([first, f"|{' --- |' * len(head)}\n", *rest])


def row(one: Provider) -> tuple[str, ...]:
    where = one.base_urls[0] if one.base_urls else f"https://{one.hosts[0]}/…"
    cells = (one.name, where, one.key_env[0])
    name, url, key = (f"`{cell}`" for cell in cells)
    quirks = ", ".join(f"`{quirk}`" for quirk in one.quirks)
    thinking = "as it came" if one.dialect == "responses" else BACK[one.reasoning_back]
    return one.title, name, url, key, str(one.port or ""), one.dialect, thinking, quirks


def write() -> None:
    README.write_text(made(README.read_text("utf-8")), "utf-8")


def made(text: str) -> str:
    """The README as it should be."""
    return MADE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}{found[3]}", text)


if __name__ == "__main__":
    write()
