"""The user's CODEX_HOME, and its config.toml as a file."""

import codecs
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
    """The folder in which a Codex with this environment keeps its settings, login and sessions."""
    variables = os.environ if environment is None else environment
    user_home = (variables.get("HOME") if os.name == "posix" else "") or Path.home()
    return Path(variables.get("CODEX_HOME") or Path(user_home, ".codex")).absolute()


def codex_login(home: Path) -> CodexLogin:
    """The login of Codex, as far as a file shows it."""
    try:
        login = json.loads((home / "auth.json").read_bytes())
    except (OSError, ValueError):
        return CodexLogin.NONE
    if not isinstance(login, dict) or not (login.get("tokens") or login.get("OPENAI_API_KEY")):
        return CodexLogin.NONE
    return CodexLogin.CHATGPT if login.get("tokens") else CodexLogin.KEY


def read_config(path: Path) -> str | None:
    """The text of a config.toml without its byte order mark, None if there is no such file. Raises
    CommandFailed."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CommandFailed(f"{path} cannot be read: {why}", "mend it, and try again") from None


def replace_config(path: Path, text: str, former: str | None) -> None:
    """Write the file in one step, through a symbolic link, with the mode and the byte order mark
    that it has. `former`: the text that it must still have; None for no file. Raises
    CommandFailed."""
    target = path.resolve()
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else FILE_MODE
    if not mode & stat.S_IWUSR or (target.exists() and not os.access(target, os.W_OK)):
        raise CommandFailed(
            f"{target} is read-only",
            "make it writable, or use `mitmcodex codex`, which needs no file",
        )
    try:
        create_private_folder(target.parent)
        mark = byte_order_mark(target)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f"{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(mark + text.encode("utf-8"))
            os.chmod(temporary, mode)
            require_unchanged(path, former)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise CommandFailed(
            f"{target} cannot be written: {error.strerror}", "mend it, and try again"
        ) from None


def byte_order_mark(path: Path) -> bytes:
    """The mark with which the file begins, if it does. Raises OSError."""
    if not path.exists():
        return b""
    with path.open("rb") as file:
        return codecs.BOM_UTF8 if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else b""


def require_unchanged(path: Path, text: str | None) -> None:
    """Raises CommandFailed if another program has written the file since it had this text."""
    if read_config(path) != text:
        raise CommandFailed(f"{path} was changed by another program just now", "try again")


def remove_config(path: Path, former: str) -> None:
    """Remove the file, which must still have this text; of a symbolic link, the file that it leads
    to. Raises CommandFailed."""
    require_unchanged(path, former)
    try:
        path.resolve().unlink()
    except OSError as error:
        raise CommandFailed(
            f"{path} cannot be removed: {error.strerror}", "make its folder writable, and try again"
        ) from None


def missing_folders(folder: Path) -> tuple[Path, ...]:
    """The folders on the way to this one that do not exist, the innermost first."""
    return tuple(path for path in (folder, *folder.parents) if not path.exists())
