"""Installs the service, removes it, and asks the system for its state."""

import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from addons.config import VARIABLE_PREFIX
from addons.private_files import create_private_folder, write_private_bytes
from addons.user_folders import config_folder, state_folder

from .. import ROOT
from ..errors import CommandFailed
from .launchd import launchd_plan
from .plan import Command, ServicePlan, ServiceProgram
from .systemd import systemd_plan
from .windows import windows_plan

COMMAND_TIMEOUT = 60.0  # s for one command of the system
# Where things are. Settings belong in relay.toml; keys belong there or in the keyring.
FOLDER_VARIABLES = (
    *("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "CODEX_HOME"),
    f"{VARIABLE_PREFIX}CONFIG",
)
# Of a service's PATH. The relay asks Codex for its version and its catalog.
SYSTEM_FOLDERS = "/usr/local/bin", "/usr/bin", "/bin"
UV_CACHE_FOLDERS = {"archive-v0", "environments-v2"}  # from which uv removes what is old


@dataclass(frozen=True)
class ServiceState:
    system: str
    path: Path
    is_installed: bool
    is_running: bool


def user_service_plan(platform: str = sys.platform) -> ServicePlan:
    """The service of this user on this system."""
    program = ServiceProgram(
        command=own_command("up"),
        log=state_folder() / "service.log",
        variables=service_variables(os.environ),
    )
    if platform == "darwin":
        return launchd_plan(program, Path.home(), os.getuid())
    if platform == "win32":
        domain = os.environ.get("USERDOMAIN", "")
        user_name = f"{domain}\\{getpass.getuser()}" if domain else getpass.getuser()
        return windows_plan(program, config_folder(), user_name)
    return systemd_plan(program, Path.home(), os.environ)


def own_command(*arguments: str) -> Command:
    """This very `mitmcodex`, by its absolute path. Raises CommandFailed if it will vanish."""
    if UV_CACHE_FOLDERS & set(Path(sys.prefix).parts):
        raise CommandFailed(
            "this mitmcodex runs from uv's cache, which uv empties from time to time",
            "install it with `uv tool install mitmcodex`, and try again",
        )
    name = "mitmcodex.exe" if sys.platform == "win32" else "mitmcodex"
    if (program := Path(sys.executable).with_name(name)).is_file():
        return (str(program), *arguments)
    # A checkout in which nothing is installed.
    return (sys.executable, str(ROOT / "scripts" / "package"), *arguments)


def service_variables(environment: Mapping[str, str]) -> dict[str, str]:
    # The service starts in another folder, and without a shell that replaces `~`.
    variables = {
        name: str(Path(environment[name]).expanduser().absolute())
        for name in FOLDER_VARIABLES
        if environment.get(name)
    }
    if codex := shutil.which("codex", path=environment.get("PATH")):
        folders = dict.fromkeys([str(Path(codex).parent), *SYSTEM_FOLDERS])
        variables["PATH"] = os.pathsep.join(folders)
    return variables


def left_out_variables(environment: Mapping[str, str]) -> list[str]:
    """The settings of this shell that the service does not get."""
    names = (name for name in environment if name.startswith(VARIABLE_PREFIX))
    return sorted(name for name in names if name not in FOLDER_VARIABLES)


def install_service(plan: ServicePlan) -> None:
    """Write the file and start the service. Raises CommandFailed."""
    create_private_folder(state_folder())  # for the log
    try:
        write_private_bytes(plan.path, plan.content)
    except OSError as error:
        raise CommandFailed(f"{plan.path}: {error.strerror}", "make its folder writable") from None
    for command in plan.install_commands:
        run_system_command(command, f"{plan.path} is written, but {plan.system} refuses it")


def remove_service(plan: ServicePlan) -> bool:
    """Stop the service and remove its file; whether there was one. Raises CommandFailed."""
    if not plan.path.is_file():
        return False
    try:
        for command in plan.removal_commands:
            run_system_command(command, f"{plan.system} did not stop the service")
    finally:  # a service that cannot be stopped must not start again
        plan.path.unlink()
    return True


def service_state(plan: ServicePlan) -> ServiceState:
    is_running = False
    if plan.path.is_file():
        try:
            output = system_command_output(plan.status_command).stdout
            is_running = bool(re.search(plan.running_pattern, output, re.MULTILINE))
        except (OSError, subprocess.TimeoutExpired):
            pass
    return ServiceState(plan.system, plan.path, plan.path.is_file(), is_running)


def run_system_command(command: Command, failure: str) -> None:
    """Raises CommandFailed, which begins with `failure` and has the system's own words."""
    try:
        result = system_command_output(command)
    except FileNotFoundError:
        raise CommandFailed(f"{failure}: there is no program {command[0]!r}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{failure}: {error}") from None
    if result.returncode:
        words = (result.stderr or result.stdout).strip() or f"status {result.returncode}"
        raise CommandFailed(f"{failure}: {words}", f"try it yourself: {' '.join(command)}")


def system_command_output(command: Command) -> subprocess.CompletedProcess[str]:
    """Raises OSError, subprocess.TimeoutExpired."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=COMMAND_TIMEOUT,
        check=False,
    )
