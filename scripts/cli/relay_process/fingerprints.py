"""Whether a relay runs with the settings that one started now would have."""

import hashlib
from collections.abc import Mapping

from addons.config import SETTING_NAMES, VARIABLE_PREFIX, ConfigFile, setting_text

PROVIDER_TABLES = "tables of providers"


def setting_fingerprints(
    file: ConfigFile, environment: Mapping[str, str], mark: str
) -> dict[str, str]:
    """Name → fingerprint of the value, for each setting that the user has set.

    With the random mark in it, a fingerprint tells nothing about a key."""
    texts = {name: user_text(name, file, environment) for name in SETTING_NAMES}
    texts[PROVIDER_TABLES] = "".join(
        file.providers[name].model_dump_json() for name in file.user_providers
    )
    return {
        name: hashlib.sha256(f"{mark} {text}".encode()).hexdigest()[:16]
        for name, text in texts.items()
        if text
    }


def user_text(name: str, file: ConfigFile, environment: Mapping[str, str]) -> str:
    """What the user has set it to; "" for the default."""
    variable = environment.get(f"{VARIABLE_PREFIX}{name.upper()}")
    return setting_text(file.values.get(name, "")) if variable is None else variable.strip()


def changed_settings(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """The names of the settings whose fingerprints differ."""
    names = {**ours, **theirs}
    return sorted(name for name in names if ours.get(name) != theirs.get(name))
