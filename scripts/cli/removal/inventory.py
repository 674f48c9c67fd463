"""The data that mitmcodex keeps on this machine."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from addons.accounts import has_keyring_logins
from addons.config import KEYRING_PREFIX, VARIABLE_PREFIX, ConfigFile, config_path
from addons.system_keyring import KeyringUnavailable, stored_names
from addons.user_folders import data_folder, state_folder

from ..console import without_password
from ..setup.saving import BACKUP_SUFFIX

# Settings with which users choose a place themselves; what is there stays.
PLACE_SETTINGS = ("store", "record", "vault", "chatgpt_auth")


@dataclass(frozen=True)
class OwnData:
    """What mitmcodex keeps for this user."""

    files: tuple[Path, ...]  # in folders that may hold something else
    folders: tuple[Path, ...]  # with all that is in them
    passwords: tuple[str, ...]  # names of entries in the system's keyring
    has_logins: bool  # in the system's keyring
    other_places: tuple[str, ...]  # that the user has chosen for data, and that stay
    keyring_fault: str = ""  # why it is not known which keys are in the keyring

    @property
    def lines(self) -> list[str]:
        """Everything that is to be removed, for people."""
        keys = [f"the key {name!r} in the system's keyring" for name in self.passwords]
        logins = ["the logins in the system's keyring"] * self.has_logins
        return [*map(str, self.files), *map(str, self.folders), *keys, *logins]


def own_data(variables: Mapping[str, str]) -> OwnData:
    """What there is now."""
    path = relay_file_path(variables)
    values = read_values(path)
    folders = dict.fromkeys((data_folder(), state_folder()))
    links = [folder for folder in folders if folder.is_symlink()]
    candidates = (path, path.with_name(path.name + BACKUP_SUFFIX))
    passwords, keyring_fault = stored_passwords(file_password_names(values, path))
    return OwnData(
        files=(*(file for file in candidates if file.is_file() or file.is_symlink()), *links),
        folders=tuple(folder for folder in folders if folder.is_dir() and folder not in links),
        passwords=passwords,
        has_logins=has_keyring_logins(),
        # The folder behind a link may have files that are not ours.
        other_places=(*other_places(values, variables), *(str(link.resolve()) for link in links)),
        keyring_fault=keyring_fault,
    )


def relay_file_path(variables: Mapping[str, str]) -> Path:
    chosen = config_path({}, variables)
    return Path(chosen).expanduser() if chosen else ConfigFile.empty().path


def read_values(path: Path) -> dict[str, Any]:
    """The settings of relay.toml, as far as it can be read."""
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return {}


def file_password_names(values: Mapping[str, Any], path: Path) -> list[str]:
    """The names of the keyring's keys in relay.toml and in the file before the last setup."""
    former = read_values(path.with_name(path.name + BACKUP_SUFFIX))
    keys = [str(entry.get("api_key", "")) for entry in (values, former)]
    return [key.removeprefix(KEYRING_PREFIX) for key in keys if key.startswith(KEYRING_PREFIX)]


def stored_passwords(file_names: list[str]) -> tuple[tuple[str, ...], str]:
    """The names of the keys in the keyring: of those that files name, and of all providers, under
    whose names `mitmcodex setup` stores keys. If the keyring does not answer, those that files
    name, and the reason."""
    try:
        names = dict.fromkeys([*file_names, *ConfigFile.empty().providers])
        return tuple(stored_names(names)), ""
    except KeyringUnavailable as unavailable:
        return tuple(dict.fromkeys(file_names)), f"the system's keyring {unavailable}"


def other_places(values: Mapping[str, Any], variables: Mapping[str, str]) -> list[str]:
    chosen = [
        str(variables.get(VARIABLE_PREFIX + name.upper()) or values.get(name) or "")
        for name in PLACE_SETTINGS
    ]
    return [without_password(place) for place in chosen if place and place != "off"]
