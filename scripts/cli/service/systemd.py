"""A unit of the user's systemd. https://www.freedesktop.org/software/systemd/man/systemd.service.html"""

from collections.abc import Mapping
from pathlib import Path

from .plan import DESCRIPTION, NAME, ServicePlan, ServiceProgram

UNIT = f"{NAME}.service"
SYSTEMCTL = ("systemctl", "--user")

# All of them work without privileges and without a mount namespace. MemoryDenyWriteExecute is left
# out, as Python's ctypes needs such memory on some systems.
HARDENING = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
UMask=0077
"""


def systemd_plan(
    program: ServiceProgram, home: Path, environment: Mapping[str, str]
) -> ServicePlan:
    configuration = environment.get("XDG_CONFIG_HOME") or home / ".config"
    return ServicePlan(
        system="systemd",
        path=Path(configuration, "systemd", "user", UNIT),
        content=unit_text(program).encode(),
        install_commands=((*SYSTEMCTL, "daemon-reload"), (*SYSTEMCTL, "enable", "--now", UNIT)),
        removal_commands=((*SYSTEMCTL, "disable", "--now", UNIT),),
        status_command=(*SYSTEMCTL, "is-active", UNIT),
        running_pattern=r"^active$",
        log_hint=f"journalctl --user --unit {NAME} --follow",
        notes=("It starts when you log in. To start it with the machine: loginctl enable-linger",),
    )


def unit_text(program: ServiceProgram) -> str:
    variables = "".join(
        f"Environment={quote_word(f'{name}={value}')}\n"
        for name, value in program.variables.items()
    )
    return (
        f"[Unit]\nDescription={DESCRIPTION}\n"
        # A relay that cannot start, as with a typo in relay.toml, is not tried for ever.
        "StartLimitIntervalSec=300\nStartLimitBurst=5\n\n"
        f"[Service]\nType=exec\nExecStart={command_line(program.command)}\n{variables}"
        f"Restart=on-failure\nRestartSec=5\nTimeoutStopSec=20\n{HARDENING}\n"
        "[Install]\nWantedBy=default.target\n"
    )


def command_line(command: tuple[str, ...]) -> str:
    # systemd refuses such characters in the path of a program, but not in an argument.
    needs_env = any(char in "\"'\\$" or char < " " for char in command[0])
    words = ("/usr/bin/env", *command) if needs_env else command
    return " ".join(quote_word(word).replace("$", "$$") for word in words)


def quote_word(word: str) -> str:
    """The word in double quotes, in which spaces, `%`, quotes and control characters are only
    themselves."""
    text = word.replace("\\", "\\\\").replace('"', '\\"')
    text = "".join(char if char >= " " else f"\\x{ord(char):02x}" for char in text)
    return f'"{text.replace("%", "%%")}"'
