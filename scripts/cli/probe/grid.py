"""What `mitmcodex probe` shows: the grid of findings, and the same as JSON."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from rich.text import Text

from ..tables import Column, print_table
from .findings import Finding, Verdict
from .session import ProbeSession

Json = dict[str, Any]

GROUPS = (
    *("basics", "streaming", "tools", "reasoning", "roles", "images", "parameters", "formats"),
    *("schemas", "errors", "context window"),
)
STYLES: dict[Verdict, str] = {
    "seen": "green",
    "accepted": "green",
    "ignored": "yellow",
    "refused": "red",
    "not seen": "yellow",
    "not measured": "dim",
}
COLUMNS = (Column("group"), Column("probe"), Column("verdict"), Column("evidence"))


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """By group; inside a group they keep their order."""
    return sorted(findings, key=lambda finding: GROUPS.index(finding.group))


def print_grid(findings: Sequence[Finding]) -> None:
    print_table(
        COLUMNS,
        [
            (each.group, each.probe, Text(each.verdict, STYLES[each.verdict]), each.evidence)
            for each in sort_findings(findings)
        ],
    )


def report_json(
    session: ProbeSession, findings: Sequence[Finding], table: Mapping[str, Any], name: str
) -> Json:
    endpoint = session.measurements.endpoint
    return {
        "url": endpoint.url,
        "model": endpoint.model,
        "provider": endpoint.provider.name,
        "date": date.today().isoformat(),
        "requests": session.requests,
        "tokens": session.tokens,
        "findings": [
            {
                "group": finding.group,
                "probe": finding.probe,
                "verdict": finding.verdict,
                "evidence": finding.evidence,
            }
            for finding in sort_findings(findings)
        ],
        "name": name,
        "table": dict(table),
    }
