"""The user's CODEX_HOME, and its config.toml as a file."""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from addons.private_files import FILE_MODE, create_private_folder

from ..errors import CommandFailed


class CodexLogin(StrEnum):
    NONE = "none"
    KEY = "API key"
    CHATGPT = "ChatGPT account"


def codex_home(environment: Mapping[str, str] | None = None) -> Path:
    """The folder in which Codex keeps its settings, login and sessions."""
    variables = os.environ if environment is None else environment
    return Path(variables.get("CODEX_HOME") or Path.home() / ".codex").absolute()


def codex_login(home: Path) -> CodexLogin:
    """The login of Codex, as far as a file shows it."""
    try:
        login = json.loads((home / "auth.json").read_bytes())
    except (OSError, ValueError):
        return CodexLogin.NONE
    has_tokens = isinstance(login, dict) and login.get("tokens")
    return CodexLogin.CHATGPT if has_tokens else CodexLogin.KEY


def read_config(path: Path) -> str | None:
    """The text of a config.toml, None if there is none. Raises CommandFailed."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandFailed(f"{path} cannot be read: {why}", "mend it, and try again") from None


def replace_config(path: Path, text: str) -> tuple[Path, ...]:
    """Write the file in one step, through a symbolic link and with the mode that it has.

    Returns the folders that had to be created, the innermost first. Raises CommandFailed."""
    target = path.resolve()
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else FILE_MODE
    if not mode & stat.S_IWUSR or (target.exists() and not os.access(target, os.W_OK)):
        raise CommandFailed(
            f"{target} is read-only",
            "make it writable, or use `mitmcodex codex`, which needs no file",
        )
    new_folders = missing_folders(target.parent)
    try:
        create_private_folder(target.parent)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8"))
            os.chmod(temporary, mode)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CommandFailed(
            f"{target} cannot be written: {error.strerror}", "mend it, and try again"
        ) from None
    return new_folders


def missing_folders(folder: Path) -> tuple[Path, ...]:
    """The folders on the way to this one that do not exist, the innermost first."""
    return tuple(path for path in (folder, *folder.parents) if not path.exists())
