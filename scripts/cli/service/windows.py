"""A task of Windows' task scheduler.
https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema

A task has no variables of its own: `ServiceProgram.variables` are left out."""

import subprocess
from pathlib import Path
from xml.etree import ElementTree

from .plan import DESCRIPTION, NAME, ServicePlan, ServiceProgram

NAMESPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
TASK_SETTINGS = {
    "MultipleInstancesPolicy": "IgnoreNew",
    "DisallowStartIfOnBatteries": "false",
    "StopIfGoingOnBatteries": "false",
    "ExecutionTimeLimit": "PT0S",  # none
    "Hidden": "true",
}
RESTART = {"Interval": "PT1M", "Count": "5"}  # after a failure


def windows_plan(program: ServiceProgram, folder: Path, user_name: str) -> ServicePlan:
    """`folder`: where the task's file is kept. `user_name`: with the domain, `DESKTOP\\ada`."""
    path = folder / f"{NAME}-task.xml"
    return ServicePlan(
        system="the task scheduler",
        path=path,
        content=task_document(program, user_name),
        install_commands=(
            ("schtasks", "/create", "/tn", NAME, "/xml", str(path), "/f"),
            ("schtasks", "/run", "/tn", NAME),
        ),
        removal_commands=(
            ("schtasks", "/end", "/tn", NAME),
            ("schtasks", "/delete", "/tn", NAME, "/f"),
        ),
        status_command=("schtasks", "/query", "/tn", NAME, "/fo", "csv", "/nh"),
        running_pattern=r"Running",
        log_hint=f'Get-Content -Wait "{program.log}"',
    )


def task_document(program: ServiceProgram, user_name: str) -> bytes:
    """The task in UTF-16, the only encoding that every version of `schtasks` reads."""
    task = ElementTree.Element("Task", {"version": "1.3", "xmlns": NAMESPACE})
    add_elements(child_of(task, "RegistrationInfo"), {"Description": DESCRIPTION})
    trigger = child_of(child_of(task, "Triggers"), "LogonTrigger")
    add_elements(trigger, {"Enabled": "true", "UserId": user_name})
    principal = child_of(child_of(task, "Principals"), "Principal", id="Author")
    add_elements(
        principal,
        {"UserId": user_name, "LogonType": "InteractiveToken", "RunLevel": "LeastPrivilege"},
    )
    settings = child_of(task, "Settings")
    add_elements(settings, TASK_SETTINGS)
    add_elements(child_of(settings, "RestartOnFailure"), RESTART)
    action = child_of(child_of(task, "Actions", Context="Author"), "Exec")
    executable, *arguments = program.command
    add_elements(action, {"Command": executable, "Arguments": subprocess.list2cmdline(arguments)})
    ElementTree.indent(task)
    document: bytes = ElementTree.tostring(task, encoding="utf-16", xml_declaration=True)
    return document


def child_of(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, tag, attributes)


def add_elements(parent: ElementTree.Element, texts: dict[str, str]) -> None:
    for tag, text in texts.items():
        child_of(parent, tag).text = text
