"""The agent of launchd: the keys that Apple's manual page names, read back from its file."""

import plistlib
from pathlib import Path

from scripts.cli.service.launchd import launchd_plan
from scripts.cli.service.plan import ServiceProgram

# Key → type, https://keith.github.io/xcode-man-pages/launchd.plist.5.html
MANUAL_KEYS = {
    "Label": str,
    "ProgramArguments": list,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ProcessType": str,
    "Umask": int,
    "StandardOutPath": str,
    "StandardErrorPath": str,
    "EnvironmentVariables": dict,
}


def test_file_holds_the_program_as_it_is() -> None:
    command = ("/Users/ada & co/bin 100%/mitmcodex", "up")
    variables = {"CODEX_HOME": "/Users/ada & co/<codex>"}
    program = ServiceProgram(command, Path("/Users/ada & co/log"), variables)
    plan = launchd_plan(program, Path("/Users/ada & co"), 501)
    keys = plistlib.loads(plan.content)
    assert {name: type(value) for name, value in keys.items()} == MANUAL_KEYS
    assert keys["ProgramArguments"] == list(command)
    assert keys["EnvironmentVariables"] == variables
    assert keys["KeepAlive"] == {"SuccessfulExit": False}
    assert keys["StandardErrorPath"] == "/Users/ada & co/log"


def test_agent_is_the_users() -> None:
    plan = launchd_plan(ServiceProgram(("/bin/mitmcodex",), Path("/log")), Path("/Users/ada"), 501)
    assert plan.path == Path("/Users/ada/Library/LaunchAgents/mitmcodex.plist")
    assert plan.install_commands == (("launchctl", "bootstrap", "gui/501", str(plan.path)),)
    assert plan.removal_commands == (("launchctl", "bootout", "gui/501/mitmcodex"),)
    assert "EnvironmentVariables" not in plistlib.loads(plan.content)
