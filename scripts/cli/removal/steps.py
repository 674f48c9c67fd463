"""The steps of `mitmcodex uninstall`, each of which undoes one thing and says so."""

import shutil
import sys
from pathlib import Path

from addons.accounts import LoginStoreUnavailable, delete_keyring_logins
from addons.system_keyring import KeyringUnavailable, delete_password
from addons.user_folders import config_folder, data_folder, state_folder

from .. import ROOT
from ..errors import CommandFailed
from ..service.manager import user_service_plan
from ..service.plan import ServicePlan
from .inventory import OwnData


def installed_service() -> ServicePlan | None:
    """The service of this user, if it is installed."""
    try:
        plan = user_service_plan()
    except CommandFailed:  # this mitmcodex cannot have installed one
        return None
    return plan if plan.path.is_file() else None


def remove_data(data: OwnData) -> None:
    """Remove all of it, the keyring's entries first, as files name them. Raises CommandFailed."""
    try:
        for name in data.passwords:
            delete_password(name)
        if data.has_logins:
            delete_keyring_logins()
    except (KeyringUnavailable, LoginStoreUnavailable) as unavailable:
        raise CommandFailed(
            f"keys are left in the system's keyring: {unavailable}", "unlock it, and try again"
        ) from None
    try:
        for file in data.files:
            file.unlink(missing_ok=True)
        for folder in filter(Path.is_dir, data.folders):
            shutil.rmtree(folder)
    except OSError as error:
        raise CommandFailed(
            f"{error.filename} cannot be removed: {error.strerror or error}", "remove it yourself"
        ) from None
    for folder in (config_folder(), data_folder(), state_folder()):
        remove_empty_folders(folder)


def remove_empty_folders(folder: Path) -> None:
    """Remove the folder and those above it, below the user's home, as far as they are empty."""
    home = Path.home()
    while home in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:  # something is in it, or it is a link
            return
        folder = folder.parent


def package_removal() -> str:
    """The command that removes the package itself."""
    parts = Path(sys.prefix).parts
    if (ROOT / "pyproject.toml").is_file():
        return f"delete the folder {ROOT}"
    if "uv" in parts and "tools" in parts:
        return "uv tool uninstall mitmcodex"
    if "pipx" in parts:
        return "pipx uninstall mitmcodex"
    return f"{sys.executable} -m pip uninstall mitmcodex"
