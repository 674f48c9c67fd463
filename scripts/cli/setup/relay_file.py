"""The settings of `mitmcodex setup` in relay.toml, text → text."""

import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit

from addons.config import CONCEALED_FIELDS, KEYRING_PREFIX, find_line
from addons.flow_data import MASK

from ..errors import CommandFailed
from ..toml_texts import EDIT_ERRORS, read_toml

HEADING = "# Settings of the relay; `mitmcodex setup` changes them.\n"
SETUP_KEYS = ("provider", "upstream", "api_key", "model")  # what it writes, in this order


def edit_relay_file(text: str, values: Mapping[str, str]) -> str:
    """The text with these values of SETUP_KEYS, and without those that are missing. Comments, order
    and all other settings stay. The text must be valid TOML. Raises CommandFailed."""
    data = tomllib.loads(text)
    new_values = {key: values[key] for key in SETUP_KEYS if key in values and key not in data}
    new_lines = tomlkit.dumps(new_values)
    edited = insert_lines(change_values(text, values), new_lines) if text else HEADING + new_lines
    others = {key: value for key, value in data.items() if key not in SETUP_KEYS}
    if read_toml(edited) != {**others, **values}:
        raise CommandFailed(
            "relay.toml has a form that mitmcodex does not edit",
            f"write {', '.join(key for key in SETUP_KEYS if key in values)} into it yourself",
        )
    return edited


def change_values(text: str, values: Mapping[str, str]) -> str:
    """The text with these values of the SETUP_KEYS that it has, and without the other ones; as it
    is if tomlkit cannot edit it."""
    try:
        document: Any = tomlkit.parse(text)
        for key in [key for key in SETUP_KEYS if key in document]:
            if key not in values:
                del document[key]
            elif document[key] != values[key]:
                document[key] = values[key]
        return tomlkit.dumps(document)
    except EDIT_ERRORS:
        return text


def insert_lines(text: str, lines: str) -> str:
    """The text with these lines before its first setting, and so before any table."""
    first_key = next(iter(tomllib.loads(text)), "")
    number = find_line(text, [first_key])
    before = "".join(text.splitlines(keepends=True)[: number - 1])
    return before + lines + text[len(before) :]


def masked_text(text: str) -> str:
    """The text for people, without the keys and passwords in it."""
    document: Any = tomlkit.parse(text)
    for name in CONCEALED_FIELDS & document.keys():
        document[name] = masked_value(name, document[name])
    for provider in document.get("providers", {}).values():
        for name in provider.get("headers", {}):
            provider["headers"][name] = MASK
    return tomlkit.dumps(document)


def masked_value(name: str, value: Any) -> str:
    if name != "api_key":
        return MASK
    key = str(value)
    return key if key.startswith(KEYRING_PREFIX) else masked_key(key)


def masked_key(key: str) -> str:
    """The key for people: enough to recognise a long one, and no more."""
    return f"{key[:3]}…{key[-4:]}" if len(key) >= 20 else "…"
