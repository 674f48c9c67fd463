"""Providers files: tables of TOML → Providers, the user's own laid over ours."""

import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from translate.providers.profile import Provider
from translate.providers.quirks import QUIRKS

Json = dict[str, Any]

# Where a provider is, which one that is `like` it does not share.
PLACE = ("base_urls", "hosts", "key_env", "port", "title")


class WrongTable(ValueError):
    """A table that cannot be; `place` leads to the fault."""

    def __init__(self, place: tuple[str, ...], why: str) -> None:
        super().__init__(f"{'.'.join(place)}: {why}")
        self.place = place
        self.why = why


def providers(toml: str, more: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Provider]:
    """The tables of a providers file, with the user's laid over them; raises WrongTable.

    Tables in them are merged, all else is replaced, and what the user says of a provider counts
    for each of its models. A new table may be `like` another, but for where that is.
    """
    tables: dict[str, Any] = tomllib.loads(toml)
    for name, over in more.items():
        if not isinstance(over, dict):
            raise WrongTable((name,), "must be a table")
        like = over.get("like", name)
        if "like" in over and like not in tables:
            raise WrongTable((name, "like"), f"there is no provider {like!r}")
        base = tables.get(like, {})
        if like != name:
            base = {key: value for key, value in base.items() if key not in PLACE}
        own = {key: value for key, value in over.items() if key != "like"}
        tables[name] = {"title": name, **_over(base, own)}
    return {name: _provider(name, table) for name, table in tables.items()}


def _over(base: Json, own: Json) -> Json:
    """A provider's table with the user's on top; the user's patterns of models come first."""
    made: Json = _merged(base, own)
    known, patterns = base.get("models", {}), own.get("models", {})
    if isinstance(patterns, dict) and (known or patterns):
        said = {key: value for key, value in own.items() if key != "models"}
        told = {pattern: _merged(fields, said) for pattern, fields in known.items()}
        mine = {name: _merged(_fitting(name, told), fields) for name, fields in patterns.items()}
        made["models"] = mine | {p: fields for p, fields in told.items() if p not in mine}
    return made


def _fitting(name: str, told: Json) -> Json:
    """What we say of these models: by the same pattern, or by the first that fits their name."""
    fits = (fields for pattern, fields in told.items() if fnmatchcase(name, pattern))
    found: Json = told.get(name) or next(fits, {})
    return found


def _merged(under: Any, over: Any) -> Any:
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}


def _provider(name: str, table: object) -> Provider:
    fields = {"name": name, **table} if isinstance(table, dict) else table
    try:
        made = Provider.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = (name, *map(str, first["loc"]))
        raise WrongTable(place, first["msg"]) from None
    for pattern, one in (("", made), *made.models.items()):
        if strange := {*one.quirks, *one.quirks_off} - QUIRKS:
            place = (name, *(("models", pattern) if pattern else ()), "quirks")
            raise WrongTable(place, f"{min(strange)!r} is no quirk")
    return made
