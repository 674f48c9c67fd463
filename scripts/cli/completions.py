"""What a shell offers for the arguments of commands. It reads TOML only: a person waits for it."""

import tomllib
from pathlib import Path
from typing import Any

from addons.user_folders import config_folder

from . import ROOT


def complete_provider(incomplete: str) -> list[tuple[str, str]]:
    """The names that begin so, with titles: the providers that we know, and those of relay.toml."""
    known = read_tables(ROOT / "translate" / "providers" / "providers.toml")
    own = read_tables(config_folder() / "relay.toml").get("providers")
    tables = {**known, **(own if isinstance(own, dict) else {})}
    return [
        (name, str(table.get("title", name)))
        for name, table in tables.items()
        if name.startswith(incomplete) and isinstance(table, dict)
    ]


def read_tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return {}
