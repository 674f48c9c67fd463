"""Providers files: TOML tables → Providers, with the user's tables laid over the built-in ones."""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from translate.providers.profile import Provider
from translate.providers.quirks import QUIRKS
from translate.wire.similar_names import did_you_mean

Json = dict[str, Any]

# These say where a provider is, so a table that is `like` another does not inherit them.
LOCATION_FIELDS = ("base_urls", "hosts", "key_env", "keys_page", "port", "title")


class InvalidTable(ValueError):
    """A providers table has a mistake; `key_path` leads to it."""

    def __init__(self, key_path: tuple[str, ...], fault: str) -> None:
        super().__init__(f"{'.'.join(key_path)}: {fault}")
        self.key_path = key_path
        self.fault = fault


def load_providers(
    toml: str, user_tables: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Provider]:
    """The providers of a providers file, with the user's tables laid over it. Raises InvalidTable.

    Tables inside a provider's table are merged, other values are replaced. A value that the user
    sets for a provider holds for each of its models. A new table may be `like` another, from which
    it inherits everything except LOCATION_FIELDS.
    """
    tables: dict[str, Any] = tomllib.loads(toml)
    for name, table in user_tables.items():
        if not isinstance(table, dict):
            raise InvalidTable((name,), "must be a table")
        like = table.get("like", name)
        if not isinstance(like, str) or ("like" in table and like not in tables):
            hint = did_you_mean(str(like), tables)
            fault = f"there is no provider {like!r}" + (f": {hint}" if hint else "")
            raise InvalidTable((name, "like"), fault)
        base = tables.get(like, {})
        if like != name:
            base = {key: value for key, value in base.items() if key not in LOCATION_FIELDS}
        overlay = {key: value for key, value in table.items() if key != "like"}
        tables[name] = {"title": name, **_overlay_table(base, overlay)}
    return {name: _validate_table(name, table) for name, table in tables.items()}


def _overlay_table(base: Json, overlay: Json) -> Json:
    """A provider's table with the user's on top; the user's model patterns come first."""
    table: Json = _merge_tables(base, overlay)
    base_models, user_models = base.get("models", {}), overlay.get("models", {})
    if isinstance(user_models, dict) and (base_models or user_models):
        shared_fields = {key: value for key, value in overlay.items() if key != "models"}
        built_in = {
            pattern: _merge_tables(fields, shared_fields) for pattern, fields in base_models.items()
        }
        configured = {
            pattern: _merge_tables(_fields_for_pattern(pattern, built_in), fields)
            for pattern, fields in user_models.items()
        }
        table["models"] = configured | {
            pattern: fields for pattern, fields in built_in.items() if pattern not in configured
        }
    return table


def _fields_for_pattern(pattern: str, models: Json) -> Json:
    """The fields under the same pattern, or else under the first that matches it as a name."""
    matches = (fields for other, fields in models.items() if fnmatchcase(pattern, other))
    fields: Json = models.get(pattern) or next(matches, {})
    return fields


def _merge_tables(under: Any, over: Any) -> Any:
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: _merge_tables(under.get(key), value) for key, value in over.items()}}


def _validate_table(name: str, table: object) -> Provider:
    fields = {"name": name, **table} if isinstance(table, dict) else table
    try:
        provider = Provider.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidTable((name, *map(str, first["loc"])), field_fault(first)) from None
    for pattern, profile in (("", provider), *provider.models.items()):
        for field, quirks in (("quirks", profile.quirks), ("quirks_off", profile.quirks_off)):
            if unknown := set(quirks) - QUIRKS:
                path = (name, *(("models", pattern) if pattern else ()), field)
                raise InvalidTable(path, f"{min(unknown)!r} is not a quirk")
    return provider


def field_fault(error: ErrorDetails) -> str:
    """What is wrong with a field of a table, in words for people."""
    if error["type"] != "extra_forbidden":
        return error["msg"].removeprefix("Input ")
    hint = did_you_mean(str(error["loc"][-1]), Provider.model_fields)
    return f"no provider has such a field: {hint or 'remove it'}"
