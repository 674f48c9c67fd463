"""An agent of macOS's launchd. https://developer.apple.com/library/archive/documentation/MacOSX/Conceptual/BPSystemStartup/Chapters/CreatingLaunchdJobs.html"""

import plistlib
from pathlib import Path
from typing import Any

from .plan import NAME, ServicePlan, ServiceProgram


def launchd_plan(program: ServiceProgram, home: Path, user_id: int) -> ServicePlan:
    path = home / "Library" / "LaunchAgents" / f"{NAME}.plist"
    domain = f"gui/{user_id}"
    return ServicePlan(
        system="launchd",
        path=path,
        content=plistlib.dumps(agent_keys(program), sort_keys=False),
        install_commands=(("launchctl", "bootstrap", domain, str(path)),),
        removal_commands=(("launchctl", "bootout", f"{domain}/{NAME}"),),
        status_command=("launchctl", "print", f"{domain}/{NAME}"),
        running_pattern=r"^\s*state = running$",
        log_hint=f"tail -f '{program.log}'",
    )


def agent_keys(program: ServiceProgram) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "Label": NAME,
        "ProgramArguments": list(program.command),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},  # restart it only after a failure
        "ThrottleInterval": 10,  # s between two starts
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardOutPath": str(program.log),
        "StandardErrorPath": str(program.log),
    }
    if program.variables:
        keys["EnvironmentVariables"] = dict(program.variables)
    return keys
