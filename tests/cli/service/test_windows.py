"""The task of Windows' task scheduler, against the shape that Microsoft's schema gives."""

from pathlib import Path
from xml.etree import ElementTree

from scripts.cli.service.plan import ServiceProgram
from scripts.cli.service.windows import NAMESPACE, windows_plan

# Element → its children, a part of
# https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema
SCHEMA = {
    "Task": {"RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"},
    "RegistrationInfo": {"Description"},
    "Triggers": {"LogonTrigger"},
    "LogonTrigger": {"Enabled", "UserId"},
    "Principals": {"Principal"},
    "Principal": {"UserId", "LogonType", "RunLevel"},
    "Settings": {
        "MultipleInstancesPolicy",
        "DisallowStartIfOnBatteries",
        "StopIfGoingOnBatteries",
        "ExecutionTimeLimit",
        "Hidden",
        "RestartOnFailure",
    },
    "RestartOnFailure": {"Interval", "Count"},
    "Actions": {"Exec"},
    "Exec": {"Command", "Arguments"},
}


def test_task_has_the_shape_of_the_schema() -> None:
    program = ServiceProgram((r"C:\my tools & co\mitmcodex.exe", "up", "a b"), Path(r"C:\log"))
    plan = windows_plan(program, Path("folder"), r"DESK\ada")
    assert plan.content[:2] in (b"\xff\xfe", b"\xfe\xff")  # UTF-16 with its mark
    task = ElementTree.fromstring(plan.content)  # noqa: S314 - our own
    shape = {
        element.tag.removeprefix(f"{{{NAMESPACE}}}"): {
            child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in element
        }
        for element in task.iter()
        if len(element)
    }
    assert shape == SCHEMA
    texts = {e.tag.removeprefix(f"{{{NAMESPACE}}}"): e.text for e in task.iter() if not len(e)}
    assert texts["Command"] == r"C:\my tools & co\mitmcodex.exe"
    assert texts["Arguments"] == 'up "a b"'
    assert (texts["UserId"], texts["RunLevel"]) == (r"DESK\ada", "LeastPrivilege")
    [principal] = task.iter(f"{{{NAMESPACE}}}Principal")
    [actions] = task.iter(f"{{{NAMESPACE}}}Actions")
    assert principal.get("id") == actions.get("Context") == "Author"


def test_task_is_made_from_its_file() -> None:
    plan = windows_plan(ServiceProgram(("mitmcodex.exe",), Path("log")), Path("folder"), "ada")
    assert plan.path == Path("folder/mitmcodex-task.xml")
    assert ("schtasks", "/create", "/tn", "mitmcodex", "/xml", str(plan.path), "/f") in (
        plan.install_commands
    )
