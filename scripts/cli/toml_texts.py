"""TOML texts that mitmcodex edits with tomlkit, and reads again before it writes them."""

import tomllib
from typing import Any

from tomlkit.exceptions import TOMLKitError

# What tomlkit raises for forms that it cannot edit, such as a table inside an inline table.
EDIT_ERRORS = (TOMLKitError, TypeError, ValueError, LookupError, AttributeError)


def read_toml(text: str) -> dict[str, Any] | None:
    """The data of a text; None if it is no valid TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
