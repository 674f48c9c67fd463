"""relay.toml, and the `Settings` that options, variables and this file result in.

The file has settings by their names without prefix, and tables of the user's own providers.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import ValidationError

from addons.config.option_types import amount_units, plain_number, setting_text, validate_path
from addons.config.settings import (
    DEPRECATED,
    FIELD_OF_OPTION,
    FIELD_OF_VARIABLE,
    FILE_FIELDS,
    OPTION_PREFIX,
    REPLACEMENTS,
    SECRET_FIELDS,
    SETTING_FIELDS,
    VARIABLE_PREFIX,
    Settings,
)
from addons.flow_data import MASK
from addons.user_folders import config_folder
from translate import InvalidTable, Provider, did_you_mean, load_providers

TOML_BOOLEANS = {"on": "true", "off": "false"}
TOML_NUMBER = re.compile(r"\d+(\.\d+)?")
PYDANTIC_WORDS = re.compile(r"^(Value error, |Input )|, unable to .*$")
PROVIDERS_KEY = "providers"
TABLE_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?$")
KEY_START = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w.-])+)\s*=""")


class WrongSettings(ValueError):
    """The settings cannot be used; `args` has one line for each fault."""


@cache
def builtin_providers_text() -> str:
    root = Path(__file__).parents[2]
    return (root / "translate" / "providers" / "providers.toml").read_text("utf-8")


@cache
def builtin_providers() -> Mapping[str, Provider]:
    """The providers of providers.toml."""
    return load_providers(builtin_providers_text())


def default_path() -> Path:
    """The path of relay.toml, unless `relay_config` names another file."""
    return config_folder() / "relay.toml"


def config_path(options: Mapping[str, str | None], environment: Mapping[str, str]) -> str:
    """The path of relay.toml as the user wrote it; "" for the default one."""
    variable = environment.get(f"{VARIABLE_PREFIX}CONFIG", "")
    return (options.get(f"{OPTION_PREFIX}config") or variable).strip()


@dataclass(frozen=True)
class ConfigFile:
    path: Path
    toml_text: str
    values: Mapping[str, Any]  # setting → value
    providers: Mapping[str, Provider]  # the builtin ones, as the user's tables change them
    user_providers: tuple[str, ...]  # the names of the user's tables

    @classmethod
    def empty(cls) -> Self:
        return cls(default_path(), "", {}, builtin_providers(), ())

    @classmethod
    def from_path(cls, path_text: str) -> Self:
        """The file at this path; for "", the default file, which need not exist.

        Raises WrongSettings."""
        try:
            path = Path(validate_path(path_text)) if path_text else default_path()
        except ValueError as error:
            raise WrongSettings(f"relay_config is {path_text!r}: {error}") from None
        if not path_text and not path.is_file():
            return cls.empty()
        try:
            text = path.read_text("utf-8-sig")
            values: dict[str, Any] = tomllib.loads(text)
        except (OSError, ValueError) as error:  # a TOML error names line and column itself
            why = error.strerror if isinstance(error, OSError) else error
            raise WrongSettings(f"{path}: {why}") from None
        tables = values.pop(PROVIDERS_KEY, {})
        if faults := list(unknown_name_faults(values, (*FILE_FIELDS, PROVIDERS_KEY))):
            lines = [find_line(text, [fault.split()[0]]) for fault in faults]
            raise WrongSettings(
                *(f"{path}:{line}: {fault}" for line, fault in zip(lines, faults, strict=True))
            )
        return cls(path, text, values, merge_providers(path, text, tables), tuple(tables))

    def position_of(self, field: str) -> str:
        """`…/relay.toml:3`"""
        return f"{self.path}:{find_line(self.toml_text, [field])}"


def merge_providers(path: Path, text: str, tables: object) -> Mapping[str, Provider]:
    """The builtin providers, changed and extended by the user's tables. Raises WrongSettings."""
    if not isinstance(tables, dict):
        line = find_line(text, [PROVIDERS_KEY])
        why = "must have a table for each provider"
        raise WrongSettings(f"{path}:{line}: {PROVIDERS_KEY} {why}")
    try:
        return load_providers(builtin_providers_text(), tables)
    except InvalidTable as wrong:
        line = find_line(text, [PROVIDERS_KEY, *wrong.key_path])
        raise WrongSettings(f"{path}:{line}: {PROVIDERS_KEY}.{wrong}") from None


def unknown_name_faults(names: Iterable[str], valid_names: Iterable[str]) -> Iterator[str]:
    """One line for each name that is not valid, with the most similar valid name."""
    valid = sorted(valid_names)
    for name in sorted(set(names).difference(valid)):
        yield f"{name} is unknown: " + (did_you_mean(name, valid) or "remove it")


def find_line(text: str, path: list[str]) -> int:
    """The number of the line in a TOML text that defines this path of keys, or else the longest
    beginning of it; 1 if there is none."""
    best_number, best_depth, table = 1, 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if header := TABLE_HEADER.match(line):
            table = dotted_key_names(header[1])
        key = KEY_START.match(line)
        line_path = [*table, *(dotted_key_names(key[1]) if key else [])]
        if len(line_path) > best_depth and path[: len(line_path)] == line_path:
            best_number, best_depth = number, len(line_path)
    return best_number


def dotted_key_names(text: str) -> list[str]:
    """`a."b.c"` → ["a", "b.c"]; an empty list for text that is not a TOML key."""
    try:
        value: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return []
    names = []
    while isinstance(value, dict):
        [(name, value)] = value.items()
        names.append(name)
    return names


class SettingValue(NamedTuple):
    """A value that the user set."""

    value: Any
    full_name: str  # names the source, too: `relay_port`, `CODEX_RELAY_PORT`, `relay.toml:3: port`
    rank: int  # of the source; the highest overrides the others


FILE_RANK, VARIABLE_RANK, OPTION_RANK = range(3)


def read_settings(
    options: Mapping[str, str | None],
    environment: Mapping[str, str],
    file: ConfigFile | None = None,
) -> Settings:
    """The settings from these sources: an option overrides a variable, and both override the file.

    `options` and `environment` have full names. Raises WrongSettings, also for a variable that has
    our prefix and is no setting.
    """
    variables = [name for name in environment if name.startswith(VARIABLE_PREFIX)]
    name_faults = list(unknown_name_faults(variables, FIELD_OF_VARIABLE))
    file = file or ConfigFile.empty()
    values = collect_values(options, environment, file)
    faults = dict(deprecated_faults(values))
    valid = {name: entry for name, entry in values.items() if name not in faults}
    try:
        settings = Settings.model_validate(replace_deprecated(valid), context=file.providers)
    except ValidationError as error:
        faults |= {str(fault["loc"][0]): fault["msg"] for fault in reversed(error.errors())}
    value_faults = [wrong_value_fault(name, values[name], why) for name, why in faults.items()]
    if name_faults or value_faults:
        raise WrongSettings(*name_faults, *value_faults)
    return settings


def collect_values(
    options: Mapping[str, str | None], environment: Mapping[str, str], file: ConfigFile
) -> dict[str, SettingValue]:
    """The values that are set, by the setting's name. An empty text means the default, also if a
    source of lower rank has a value."""
    values = {
        name: SettingValue(value, f"{file.position_of(name)}: {name}", FILE_RANK)
        for name, value in file.values.items()
    }
    for names, source, rank in (
        (FIELD_OF_VARIABLE, environment, VARIABLE_RANK),
        (FIELD_OF_OPTION, options, OPTION_RANK),
    ):
        for full_name, name in names.items():
            if (text := source.get(full_name)) is not None:
                values[name] = SettingValue(text.strip(), full_name, rank)
    return {name: entry for name, entry in values.items() if entry.value != ""}


# Deprecated settings


def deprecated_names(values: Mapping[str, SettingValue], field: str) -> list[str]:
    """The deprecated settings among the values that this setting replaces."""
    return [name for name in DEPRECATED if DEPRECATED[name].setting == field and name in values]


def effective_names(values: Mapping[str, SettingValue], field: str) -> list[str]:
    """The deprecated settings that count: those for amounts that their replacement leaves out,
    whichever source it comes from."""
    units = amount_units(values[field].value) if field in values else set[str]()
    names = deprecated_names(values, field)
    return [name for name in names if DEPRECATED[name].unit.lower() not in units]


def deprecated_faults(values: Mapping[str, SettingValue]) -> Iterator[tuple[str, str]]:
    """The name of each deprecated setting that counts and has a wrong value, and the reason."""
    for field in REPLACEMENTS:
        for name in effective_names(values, field):
            try:
                amount = plain_number(values[name].value) + DEPRECATED[name].unit
                Settings.model_validate({field: amount})
            except ValidationError as error:
                yield name, error.errors()[0]["msg"]
            except ValueError as error:
                yield name, str(error)


def replace_deprecated(values: Mapping[str, SettingValue]) -> dict[str, Any]:
    """The values, with the amounts of deprecated settings in the settings that replace them.

    The deprecated settings must have valid values."""
    replaced = {name: entry.value for name, entry in values.items() if name not in DEPRECATED}
    for field in REPLACEMENTS:
        amounts = [
            plain_number(values[name].value) + DEPRECATED[name].unit
            for name in effective_names(values, field)
        ]
        if amounts:
            current = [setting_text(replaced[field])] if field in replaced else []
            replaced[field] = ",".join([*current, *amounts])
    return replaced


def deprecation_notices(values: Mapping[str, SettingValue]) -> Iterator[str]:
    """One line for each setting that replaces deprecated ones in use, with what to write instead.

    The deprecated settings must have valid values."""
    replaced = replace_deprecated(values)
    for field in REPLACEMENTS:
        if not (names := deprecated_names(values, field)):
            continue
        full_names = " and ".join(values[name].full_name for name in names)
        verb, pronoun = ("is", "it") if len(names) == 1 else ("are", "them")
        if effective := effective_names(values, field):
            # in a source of lower rank, the text would be overridden
            rank = max(values[name].rank for name in (field, *effective) if name in values)
            advice = f"write {assignment(field, replaced[field], rank)}"
        else:
            advice = f"remove {pronoun}, as {values[field].full_name} overrides {pronoun}"
        yield f"{full_names} {verb} deprecated: {advice}"


def assignment(field: str, text: str, rank: int) -> str:
    """What to write in the source of this rank to set the setting to this text."""
    if rank == FILE_RANK:
        return f"{field} = {toml_value(text)}"
    if rank == VARIABLE_RANK:
        return f"{VARIABLE_PREFIX}{field.upper()}={text}"
    return f"{OPTION_PREFIX}{field}={text}"


def toml_value(text: str) -> str:
    """The text of an option as a value in relay.toml: `4444`, `false`, `"deepseek"`."""
    if text in TOML_BOOLEANS:
        return TOML_BOOLEANS[text]
    return text if TOML_NUMBER.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def wrong_value_fault(name: str, entry: SettingValue, why: str) -> str:
    """One line with the value, without a secret in it, the reason, and a valid example."""
    value = re.sub(r"//[^/]*@", f"//{MASK}@", repr(entry.value))
    text = MASK if name in SECRET_FIELDS else value
    why = PYDANTIC_WORDS.sub("", why)
    if name in DEPRECATED:
        example = DEPRECATED[name].example
    else:
        [example, *_] = SETTING_FIELDS[name].examples or [""]
    fault = f"{entry.full_name} is {text}: {why}"
    if why.endswith("?"):  # it names what to write
        return fault
    return f"{fault}; for example {assignment(name, example, entry.rank)}"
