"""`mitmcodex doctor`"""

from collections import Counter
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from ..console import messages, output, print_json, print_line, visible_text
from ..doctor.checks import CHECKS, examine
from ..doctor.context import find_context
from ..doctor.finding import DoctorFinding, Health

STYLES = {Health.PASS: "green", Health.WARN: "yellow", Health.FAIL: "bold red"}
NAME_WIDTH = max(map(len, CHECKS))


def examine_setup(
    offline: Annotated[bool, typer.Option("--offline", help="Ask the provider nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    port: Annotated[int | None, typer.Option(help="Port of the relay.")] = None,
) -> None:
    """Find what keeps Codex and the relay from working.

    The provider gets a few small requests, about a thousand tokens. The exit status is 1 if
    something fails.

    Examples:
      mitmcodex doctor
      mitmcodex doctor --offline --json
    """
    findings = []
    with messages.status("Looking …") as status:
        context = find_context(port=port, is_offline=offline)
        for finding in examine(context, lambda name: status.update(f"Looking at {name} …")):
            findings.append(finding)
            if not as_json:
                status.stop()  # it has the line of the terminal on which the finding is printed
                print_finding(finding)
                status.start()
    counts = Counter(finding.status for finding in findings)
    if as_json:
        rows = [{**asdict(finding), "status": finding.status.value} for finding in findings]
        print_json({"ok": not counts[Health.FAIL], "findings": rows})
    else:
        print_line(summary_line(counts))
    if counts[Health.FAIL]:
        raise typer.Exit(1)


def print_finding(finding: DoctorFinding) -> None:
    word = Text(finding.status.value, style=STYLES[finding.status])
    text = f"  {finding.name:{NAME_WIDTH}}  {visible_text(finding.text)}"
    output.print(word + Text(text, style="default"))
    if finding.next_step:
        print_line(f"{'':{NAME_WIDTH + 8}}→ {finding.next_step}")


def summary_line(counts: Counter[Health]) -> str:
    if counts[Health.FAIL]:
        return f"{counts[Health.FAIL]} of {counts.total()} checks fail."
    if counts[Health.WARN]:
        return f"Nothing fails; look at the {counts[Health.WARN]} warnings."
    return f"All {counts.total()} checks pass."
