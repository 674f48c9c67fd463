"""`mitmcodex probe`"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from addons.config import ConfigFile
from addons.routing import check_upstream

from ..console import messages, print_json, print_line, print_note
from ..errors import INTERRUPTED, CommandFailed
from ..probe.client import EndpointClient
from ..probe.endpoint import Endpoint, find_endpoint
from ..probe.grid import print_grid, report_json
from ..probe.observations import observe_replies
from ..probe.plan import plan_session
from ..probe.probes import ALL_PROBES, Probe
from ..probe.profile_fields import changed_fields, measured_fields
from ..probe.relay_table import (
    merge_table,
    read_file,
    table_fields,
    table_name,
    table_path,
    table_text,
    write_checked,
)
from ..probe.session import ProbeLimits, ProbeSession
from ..user_settings import load_user_settings


def probe_endpoint(
    target: Annotated[
        str, typer.Argument(metavar="PROVIDER|URL", help="By default the configured provider.")
    ] = "",
    model: Annotated[str, typer.Option(help="The model to ask.")] = "",
    write: Annotated[bool, typer.Option("--write", help="Add the table to relay.toml.")] = False,
    name: Annotated[str, typer.Option(help="Name of the table, for a new provider.")] = "",
    key_env: Annotated[str, typer.Option(help="Environment variable with the key.")] = "",
    errors: Annotated[bool, typer.Option("--errors", help="Also send a wrong key.")] = False,
    window: Annotated[
        bool, typer.Option("--window", help="Also send a request longer than the context window.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    requests: Annotated[int, typer.Option(help="Most requests to send.", min=2)] = 80,
    seconds: Annotated[float, typer.Option(help="Most seconds for a request.", min=0.1)] = 60.0,
) -> None:
    """Measure what a Chat Completions endpoint really does.

    Small requests go straight to the endpoint. They show which parameters, roles, tool choices
    and schemas it takes, how it streams, and whether it sees images; --write makes a table for
    relay.toml of it.

    Examples:

        mitmcodex probe deepseek
        mitmcodex probe http://localhost:8000/v1 --write
    """
    user = load_user_settings()
    endpoint = find_endpoint(user, target, model, key_env)
    if write and endpoint.profile.dialect != "chat":
        raise CommandFailed(
            f"the relay speaks Responses with {endpoint.provider.title}, so that a measured "
            "profile of Chat Completions would not be used",
            "leave out --write",
        )
    limits = ProbeLimits(requests=requests)
    probes = selected_probes({"errors": errors, "window": window})
    with EndpointClient(endpoint, seconds) as client:
        session = ProbeSession(endpoint, client, limits)
        endpoint = agree_on_plan(session, probes, limits, yes)
        was_interrupted = run_all(session, probes)
    measured = session.measurements
    if measured.serves_nothing and not as_json:
        raise nothing_served(session)
    findings = [*measured.findings.values(), *observe_replies(measured)]
    name = name or table_name(endpoint)
    fields = changed_fields(measured_fields(measured), endpoint.profile)
    table = table_fields(endpoint, fields, name)
    if as_json:
        print_json(report_json(session, findings, table, name))
    else:
        print_grid(findings)
        print_summary(session, endpoint, table, name)
    if was_interrupted:
        raise typer.Exit(INTERRUPTED)
    if measured.serves_nothing:
        raise nothing_served(session)
    if write:
        write_table(user.file, endpoint, table, name, yes)


def agree_on_plan(
    session: ProbeSession, probes: Sequence[Probe], limits: ProbeLimits, is_agreed: bool
) -> Endpoint:
    """Say what will be sent and what it costs, and ask; the endpoint with its model.

    Without a model there is no price, so that the list of models, which is free, comes first."""
    measured = session.measurements
    if not measured.endpoint.model:
        choose_model(session)
    plan = plan_session(measured.endpoint, probes, limits)
    print_note(f"{measured.endpoint.title}: {plan.to_text()}", "")
    ask_user("Send them?", is_agreed)
    if not measured.findings:
        choose_model(session)
    return measured.endpoint


def choose_model(session: ProbeSession) -> None:
    """Raises CommandFailed, with what is wrong with the URL or the key."""
    try:
        session.choose_model()
    except CommandFailed as failure:
        raise explain_upstream(session.measurements.endpoint) or failure from None


def explain_upstream(endpoint: Endpoint) -> CommandFailed | None:
    """What is wrong with the URL or the key, as far as the list of models shows it."""
    check = asyncio.run(check_upstream(endpoint.url, endpoint.headers, key=endpoint.key_origin))
    next_step = endpoint.key_advice(check.status) or check.next_step
    return CommandFailed(check.fault, next_step) if check.fault else None


def selected_probes(options: dict[str, bool]) -> list[Probe]:
    """All probes but those whose option was not given."""
    return [probe for probe in ALL_PROBES if options.get(probe.option, True)]


def ask_user(question: str, is_agreed: bool) -> None:
    """Ask on the terminal. Raises CommandFailed where nobody can answer."""
    if is_agreed:
        return
    if not sys.stdin.isatty():
        raise CommandFailed("nobody is there to agree to this", "add --yes")
    typer.confirm(question, abort=True, err=True)


def run_all(session: ProbeSession, probes: Sequence[Probe]) -> bool:
    """Run the probes; whether Ctrl-C has ended them early."""
    try:
        with shown_progress(len(probes)) as advance:
            for finding in session.run_probes(probes):
                advance(finding)
    except KeyboardInterrupt:
        print_note("interrupted: what was measured until then follows", "yellow")
        return True
    return False


@contextmanager
def shown_progress(total: int) -> Iterator[Any]:
    """A bar on stderr, on a terminal only."""
    columns = (TextColumn("{task.description:30}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=messages, transient=True, disable=not messages.is_terminal
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda finding: progress.update(task, description=finding.probe, advance=1)


def print_summary(
    session: ProbeSession, endpoint: Endpoint, table: dict[str, Any], name: str
) -> None:
    print_note(f"{session.requests} requests, about {session.tokens:,} tokens")
    if table:
        print_line()
        print_line(table_text(table_path(endpoint, name), table, endpoint).rstrip())
    else:
        print_note("the relay's profile of this model agrees with what was measured")


def nothing_served(session: ProbeSession) -> CommandFailed:
    """The reason, and what the user can do."""
    endpoint = session.measurements.endpoint
    if failure := explain_upstream(endpoint):
        return failure
    reply = list(session.measurements.replies.values())[-1]
    advice = endpoint.key_advice(reply.recorded.status) or reply.recorded.next_step
    return CommandFailed(
        f"{endpoint.title} did not serve a plain request: {reply.words}",
        advice or "check the model and the URL",
    )


def write_table(
    file: ConfigFile, endpoint: Endpoint, table: dict[str, Any], name: str, is_agreed: bool
) -> None:
    """Show where the table goes, ask, and write it."""
    if not table:
        return
    ask_user(f"Write this table to {file.path}?", is_agreed)
    text = read_file(file.path)  # as it is after the answer
    path = table_path(endpoint, name)
    write_checked(file.path, merge_table(text, path, table, endpoint, date.today()))
    print_note(f"written to {file.path}; a relay that runs reads it at its next start", "green")
