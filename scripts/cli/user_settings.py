"""The settings that a relay started now would have: from the environment and relay.toml."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from addons.config import ConfigFile, Settings, WrongSettings, config_path, read_settings

from .errors import CommandFailed


@dataclass(frozen=True)
class UserSettings:
    settings: Settings
    file: ConfigFile  # with the table of providers


def load_user_settings(environment: Mapping[str, str] | None = None) -> UserSettings:
    """Raises CommandFailed, which names the place, for settings with which no relay starts."""
    variables = os.environ if environment is None else environment
    file = load_relay_file(variables)
    try:
        return UserSettings(read_settings({}, variables, file), file)
    except WrongSettings as wrong:
        raise settings_failure(wrong) from None


def load_relay_file(variables: Mapping[str, str]) -> ConfigFile:
    """The user's relay.toml. Raises CommandFailed for a file with a fault."""
    try:
        return ConfigFile.from_path(config_path({}, variables))
    except WrongSettings as wrong:
        raise settings_failure(wrong) from None


def settings_failure(wrong: WrongSettings) -> CommandFailed:
    faults = "\n       ".join(wrong.args)  # each line below the first, behind "error: "
    return CommandFailed(faults, "correct it, and try again")


def owner_key() -> str:
    """The key of `relay_client_key` with which the relay shows everything; "" if it needs none."""
    keys = load_user_settings().settings.client_key
    owners = [key for key in keys if key.name in ("", "admin")]
    return owners[0].secret.get_secret_value() if owners else ""
