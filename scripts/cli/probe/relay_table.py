"""The measured profile as a table of relay.toml, and its place in the user's file.

The file keeps its comments, its order and its other tables; the relay's own reader checks the
result before it replaces the file."""

import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tomlkit
from tomlkit.items import Table

from addons.config import ConfigFile, WrongSettings
from addons.private_files import write_private_bytes, write_private_file
from translate import printable

from ..errors import CommandFailed
from ..toml_texts import EDIT_ERRORS, read_toml
from .endpoint import Endpoint

Json = dict[str, Any]

GENERIC_NAMES = frozenset({"generic", "responses", "demo"})  # no table of one provider
MEASURED_MARK = "Measured by mitmcodex probe"
NOTE_LIMIT = 300  # characters


def table_name(endpoint: Endpoint) -> str:
    """The name of the provider's table: its own, or one from the URL's host and port."""
    if endpoint.provider.name not in GENERIC_NAMES:
        return endpoint.provider.name
    parts = urlsplit(endpoint.url)
    host = re.sub(r"[^a-z0-9]+", "-", (parts.hostname or "").lower()).strip("-")
    return f"{host}-{parts.port}" if parts.port else host


def table_path(endpoint: Endpoint, name: str) -> tuple[str, ...]:
    """Where the fields stand: in the table of the user's own provider; for a built-in provider in
    that of the model, as its other models were not measured."""
    if name in ConfigFile.empty().providers:
        return ("providers", name, "models", model_pattern(endpoint.model))
    return ("providers", name)


def model_pattern(model: str) -> str:
    """The pattern that matches this model's name alone."""
    return re.sub(r"[*?\[]", lambda match: f"[{match[0]}]", model.lower())


def table_fields(endpoint: Endpoint, fields: Mapping[str, Any], name: str) -> Json:
    """The fields of the table, with those that a new provider needs beside the measured ones."""
    if endpoint.provider.name == name:
        return dict(fields)
    provider, variable = endpoint.provider, endpoint.key_variable
    key_env = [variable] if variable else list(provider.key_env)
    return {
        **({} if provider.name in GENERIC_NAMES else {"like": provider.name}),
        "base_urls": [endpoint.url],
        **({"key_env": key_env} if key_env else {}),
        "model": endpoint.model,
        **fields,
    }


def merge_table(
    toml_text: str, path: tuple[str, ...], fields: Mapping[str, Any], endpoint: Endpoint, day: date
) -> str:
    """The file's text with these fields set in the table at this path. Other fields stay. Raises
    CommandFailed if the text has a form in which that cannot be done."""
    note = f"{MEASURED_MARK} on {day.isoformat()}: {printable(endpoint.title, NOTE_LIMIT)}"
    try:
        document = tomlkit.parse(toml_text)
        set_fields(table_at(document, path), fields, note)
        edited = tomlkit.dumps(document)
        expected = with_fields(tomllib.loads(toml_text), path, fields)
    except EDIT_ERRORS:
        edited, expected = "", None
    if expected is None or read_toml(edited) != expected:
        raise CommandFailed(
            f"relay.toml has its {path[0]} in a form that mitmcodex does not edit",
            "leave out --write, and copy the lines that it prints",
        )
    return edited


def table_at(document: Any, path: tuple[str, ...]) -> Any:
    """The table at this path of a document of tomlkit's, created if it is missing."""
    table = document
    for depth, key in enumerate(path, 1):
        if key not in table:
            table[key] = tomlkit.table(is_super_table=depth < len(path))
        table = table[key]
    return table


def with_fields(data: Json, path: tuple[str, ...], fields: Mapping[str, Any]) -> Json:
    """The data with these fields in the table at this path."""
    if not path:
        return {**data, **fields}
    return {**data, path[0]: with_fields(data.get(path[0], {}), path[1:], fields)}


def set_fields(table: Any, fields: Mapping[str, Any], note: str) -> None:
    """Set them, with the note in the table's first line in place of an earlier one."""
    remove_mark(table)
    for name, value in fields.items():
        table[name] = inline_value(value)
    if isinstance(table, Table):
        table.comment(note)


def inline_value(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inline = tomlkit.inline_table()
    inline.update({key: inline_value(inner) for key, inner in value.items()})
    return inline


def remove_mark(table: Any) -> None:
    """Remove the note of an earlier measurement."""
    if isinstance(table, Table) and table.trivia.comment.startswith(f"# {MEASURED_MARK}"):
        table.trivia.comment, table.trivia.comment_ws = "", ""


def table_text(path: tuple[str, ...], fields: Mapping[str, Any], endpoint: Endpoint) -> str:
    """The table alone, as it would stand in an empty file."""
    return merge_table("", path, fields, endpoint, date.today())


def read_file(path: Path) -> str:
    """The text of relay.toml; "" if there is none yet. Raises CommandFailed."""
    try:
        return path.read_text("utf-8-sig") if path.exists() else ""
    except (OSError, ValueError) as error:
        raise CommandFailed(
            f"{path} cannot be read: {error}", "correct it, and try again"
        ) from None


def write_checked(path: Path, toml_text: str) -> None:
    """Replace the file, once the relay's own reader has accepted the text. Raises CommandFailed."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        tomllib.loads(toml_text)
        write_private_bytes(draft, toml_text.encode())
        ConfigFile.from_path(str(draft))
        write_private_file(path, toml_text.encode())
    except (WrongSettings, ValueError) as wrong:
        problem = str(wrong).replace(str(draft), str(path))
        raise CommandFailed(
            f"the measured table does not fit: {problem}", f"correct {path}, and try again"
        ) from None
    except OSError as error:
        raise CommandFailed(
            f"{path} cannot be written: {error.strerror}", "make its folder writable"
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
