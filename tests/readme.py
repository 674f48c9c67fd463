"""README's table of providers, made from providers.toml; run as a program, writes it there."""

import re
from pathlib import Path

from addons.settings import known
from translate import Provider

README = Path(__file__).parents[1] / "README.md"
MADE = re.compile(r"(?s)(<!-- made by scripts/readme -->\n).*?(<!-- end -->)")
HEAD = ("provider", "name", "base URL", "key variable", "earlier thinking", "quirks")
BACK = {
    "echo": "as it came",
    "reasoning_content": "`reasoning_content`",
    "reasoning": "`reasoning`",
    "think": "`<think>`",
    "parts": "content parts",
    "never": "stays here",
}


def table() -> str:
    rows = [HEAD, ("---",) * len(HEAD), *(row(one) for one in known().values() if one.key_env)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(one: Provider) -> tuple[str, ...]:
    where = one.base_urls[0] if one.base_urls else f"https://{one.hosts[0]}/…"
    cells = (one.name, where, one.key_env[0])
    name, url, key = (f"`{cell}`" for cell in cells)
    quirks = ", ".join(f"`{quirk}`" for quirk in one.quirks)
    return one.title, name, url, key, BACK[one.reasoning_back], quirks


def write() -> None:
    text = README.read_text("utf-8")
    README.write_text(MADE.sub(lambda found: f"{found[1]}{table()}{found[2]}", text), "utf-8")


if __name__ == "__main__":
    write()
