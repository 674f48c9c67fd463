"""The user's folders for the relay's files.

Up to 0.2 they were called `codex-relay`; such a folder stays in use where it exists."""

from collections.abc import Callable
from pathlib import Path

import platformdirs

NAME, FORMER_NAME = "mitmcodex", "codex-relay"


def config_folder() -> Path:
    """The folder of relay.toml."""
    return existing_folder(platformdirs.user_config_path)


def data_folder() -> Path:
    """The folder of logins, stored responses and usage totals."""
    return existing_folder(platformdirs.user_data_path)


def state_folder() -> Path:
    """The folder of what concerns a running relay: its process and its log."""
    return existing_folder(platformdirs.user_state_path)


def existing_folder(folder_path: Callable[..., Path]) -> Path:
    """The folder that exists, the one with the present name first; that one if there is none."""
    folder, former = (folder_path(name, appauthor=False) for name in (NAME, FORMER_NAME))
    return former if former.is_dir() and not folder.exists() else folder
