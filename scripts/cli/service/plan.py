"""What a service runs, and how a system keeps it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

NAME = "mitmcodex"
DESCRIPTION = "mitmcodex, the relay between Codex and its models"

type Command = tuple[str, ...]


@dataclass(frozen=True)
class ServiceProgram:
    """What the service runs: the same on every system."""

    command: Command  # with an absolute path
    log: Path  # where the system itself keeps no log
    # Folders and paths, and never a key: other users can read some of these files.
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServicePlan:
    """The file that describes a service to the system, and the commands that make it known."""

    system: str  # its name, for people
    path: Path
    content: bytes
    install_commands: tuple[Command, ...]
    removal_commands: tuple[Command, ...]
    status_command: Command
    running_pattern: str  # what the output of `status_command` says of a service that runs
    log_hint: str  # the command that shows the log
    notes: tuple[str, ...] = ()
