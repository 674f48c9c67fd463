"""Whether Codex may work in a folder. Codex asks this itself before its screen opens, but not with
a server: there, without an answer in config.toml, it can only read. So we ask, and save the answer
where Codex does. Seen with Codex 0.169."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise
from pathlib import Path
from typing import Any

import tomlkit
import typer
from tomlkit.exceptions import TOMLKitError

from ..codex_config.home import codex_home, read_config, replace_config
from ..console import print_note
from ..errors import CommandFailed
from .codex_arguments import SETTING_OPTIONS

QUESTION = "Trust this folder?"
MEANING = (
    "A yes lets Codex change files and run commands here, and use settings that are\n"
    "kept in this folder; without it, Codex only reads. Its config.toml keeps a yes."
)
# With these, the user has already said what Codex may do.
DECIDING_OPTIONS = frozenset(
    {"-s", "--sandbox", "-a", "--ask-for-approval", "-p", "--profile", "--full-auto", "--yolo"}
    | {"--dangerously-bypass-approvals-and-sandbox"}
)
DECIDING_KEYS = frozenset({"sandbox_mode", "approval_policy", "default_permissions"})
FOLDER_OPTIONS = frozenset({"-C", "--cd"})
TRUSTED_ARGUMENTS = ["--sandbox", "workspace-write", "--ask-for-approval", "on-request"]


def ask_for_trust(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Ask whether Codex may work in its folder, unless that is decided. Returns arguments that say
    so where the answer cannot be saved. Raises typer.Abort on Ctrl-C."""
    folder = trust_folder(working_folder(arguments))
    path = codex_home(environment) / "config.toml"
    try:
        text = read_config(path)
        config = tomllib.loads(text or "")
    except (CommandFailed, ValueError):
        return []  # Codex itself says what is wrong with the file
    if is_decided(arguments, config, folder):
        return []
    print_note(f"{folder}\n{MEANING}", "")
    if not typer.confirm(QUESTION, default=True, err=True):
        return []
    try:
        replace_config(path, add_trust(text or "", folder), text)
    except (CommandFailed, TOMLKitError):
        return TRUSTED_ARGUMENTS
    return []


def is_decided(arguments: Sequence[str], config: Mapping[str, Any], folder: Path) -> bool:
    """Whether an argument or config.toml says what Codex may do in the folder."""
    options = {argument.partition("=")[0] for argument in arguments}
    settings = option_values(arguments, SETTING_OPTIONS)
    keys = {setting.partition("=")[0].partition(".")[0] for setting in settings}
    projects = config.get("projects")
    return bool(
        options & DECIDING_OPTIONS
        or (keys | config.keys()) & DECIDING_KEYS
        or "projects" in keys
        or (isinstance(projects, Mapping) and str(folder) in projects)
    )


def option_values(arguments: Sequence[str], names: Set[str]) -> Iterator[str]:
    """The values of the options with these names, written `--name value` or `--name=value`."""
    for option, value in pairwise([*arguments, ""]):
        name, mark, rest = option.partition("=")
        if name in names:
            yield rest if mark else value


def working_folder(arguments: Sequence[str]) -> Path:
    """The folder in which Codex works."""
    return Path(next(option_values(arguments, FOLDER_OPTIONS), "")).absolute()


def trust_folder(folder: Path) -> Path:
    """The folder that Codex asks about: the main one of a git repository, else this one."""
    for parent in (folder, *folder.parents):
        mark = parent / ".git"
        if mark.is_dir():
            return parent
        if mark.is_file():  # `gitdir: /main/.git/worktrees/name`
            git_folder = mark.read_text("utf-8", "replace").removeprefix("gitdir:").strip()
            main, part, _ = git_folder.partition(f"{os.sep}.git{os.sep}worktrees{os.sep}")
            return Path(main) if part else parent
    return folder


def add_trust(text: str, folder: Path) -> str:
    """The config.toml that trusts the folder. Raises TOMLKitError if it cannot be edited."""
    document = tomlkit.parse(text)
    if "projects" not in document:
        document["projects"] = tomlkit.table(is_super_table=True)
    entry = tomlkit.table()
    entry["trust_level"] = "trusted"
    document["projects"][str(folder)] = entry
    return tomlkit.dumps(document)
