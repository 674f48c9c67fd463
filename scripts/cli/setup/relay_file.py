"""The settings of `mitmcodex setup` in relay.toml, text → text."""

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit

from addons.config import KEYRING_PREFIX, find_line

from ..errors import CommandFailed

HEADING = "# Settings of the relay; `mitmcodex setup` changes them.\n"
SETUP_KEYS = ("provider", "upstream", "api_key", "model")  # what it writes, in this order


def edit_relay_file(text: str, values: Mapping[str, str]) -> str:
    """The text with these values of SETUP_KEYS, and without those that are missing. Comments, order
    and all other settings stay. The text must be valid TOML. Raises CommandFailed."""
    data = tomllib.loads(text)
    document: Any = tomlkit.parse(text)
    for key in [key for key in SETUP_KEYS if key in data]:
        if key not in values:
            del document[key]
        elif data[key] != values[key]:
            document[key] = values[key]
    new_values = {key: values[key] for key in SETUP_KEYS if key in values and key not in data}
    edited = (
        insert_lines(tomlkit.dumps(document), tomlkit.dumps(new_values))
        if text
        else (HEADING + tomlkit.dumps(new_values))
    )
    others = {key: value for key, value in data.items() if key not in SETUP_KEYS}
    if read_toml(edited) != {**others, **values}:
        raise CommandFailed(
            "relay.toml has a form that mitmcodex does not edit",
            f"write {', '.join(key for key in SETUP_KEYS if key in values)} into it yourself",
        )
    return edited


def insert_lines(text: str, lines: str) -> str:
    """The text with these lines before its first setting, and so before any table."""
    first_key = next(iter(tomllib.loads(text)), "")
    number = find_line(text, [first_key])
    before = "".join(text.splitlines(keepends=True)[: number - 1])
    return before + lines + text[len(before) :]


def masked_text(text: str) -> str:
    """The text for people, without the key in it."""
    key = (read_toml(text) or {}).get("api_key", "")
    if not key or str(key).startswith(KEYRING_PREFIX):
        return text
    return text.replace(str(key), masked_key(str(key)))


def masked_key(key: str) -> str:
    """The key for people: enough to recognise a long one, and no more."""
    return f"{key[:3]}…{key[-4:]}" if len(key) >= 20 else "…"


def read_toml(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
