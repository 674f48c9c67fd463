"""What a person needs to know of a relay that has just started, and its lines for a terminal.

`/health` shows it as `report`, to whom it also shows the upstream: the fields of `StartReport` as
JSON, `null` until the upstream has been asked, which takes a few seconds at most. mitmweb's page
is there without its token, which opens mitmweb. `report_from_json` reads it again:

    {"version": "0.2.0", "address": "http://127.0.0.1:8080", "serves_others": false,
     "ports": [{"provider": "", "url": "http://127.0.0.1:4444"},
               {"provider": "deepseek", "url": "http://127.0.0.1:4447"}],
     "provider": "kimi", "title": "Kimi", "upstream": "https://api.moonshot.ai/v1",
     "model_count": 12, "model": "kimi-k3", "fault": "", "next_step": "",
     "codex_command": "mitmcodex codex", "dashboard": "http://127.0.0.1:8080/relay/", "mitmweb": ""}
"""

import os
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from translate import printable

DEMO, GENERIC = "demo", "generic"  # names of providers; the generic one is named after its URL
LABEL_WIDTH = 13
TEXT_LIMIT = 300  # characters of what providers and tables call themselves


@dataclass(frozen=True)
class ExtraPort:
    url: str
    provider: str = ""  # "" for the port of `relay_port`, which is like the main one


@dataclass(frozen=True)
class StartReport:
    """Nothing in it is secret, except for the token in `mitmweb`."""

    version: str
    address: str  # URL of the main port, as programs on this machine reach it
    serves_others: bool  # other machines may connect, with a key
    provider: str  # its name in the table of providers
    title: str
    upstream: str  # base URL; "" if there is none
    codex_command: str  # the line that starts Codex through this relay
    dashboard: str  # URL
    ports: tuple[ExtraPort, ...] = ()
    model_count: int | None = None  # how many the upstream lists; None: it gave no list
    # The default: that of the settings, else the provider's, else the first that it lists.
    model: str = ""
    fault: str = ""  # why the upstream does not serve, in a sentence
    next_step: str = ""  # what the user can do about the fault, or to leave the demonstration
    mitmweb: str = ""  # URL of mitmweb's page, with its token; "" for other programs

    @property
    def is_demo(self) -> bool:
        return self.provider == DEMO

    @property
    def problem(self) -> str:
        """The fault and its next step, in one line; "" if all is well."""
        words = [self.fault, self.next_step] if self.fault else []
        return printable("; ".join(filter(None, words)), TEXT_LIMIT)


_adapter = TypeAdapter(StartReport)


def report_to_json(report: StartReport) -> dict[str, Any]:
    """The report for `/health`, without mitmweb's token: other users of this machine can ask."""
    return asdict(replace(report, mitmweb=report.mitmweb.partition("?")[0]))


def report_from_json(value: Any) -> StartReport | None:
    """The report in `/health`; None if there is none yet, or it is none of this version."""
    try:
        return _adapter.validate_python(value)
    except ValidationError:
        return None


def report_lines(report: StartReport) -> list[str]:
    """The report for people: a sentence, then a label and a text in each line."""
    access = (
        "serves this machine and others that have a key"
        if report.serves_others
        else "serves this machine only"
    )
    first = f"mitmcodex {report.version} listens at {report.address} and {access}"
    return [first, *(labelled_line(label, text) for label, text in labelled_texts(report))]


def labelled_line(label: str, text: str) -> str:
    return f"  {label:<{LABEL_WIDTH}}{text}"


def labelled_texts(report: StartReport) -> Iterator[tuple[str, str]]:
    if report.ports:
        yield "also", ", ".join(map(port_text, report.ports))
    yield "provider", provider_text(report)
    if report.problem:
        yield "problem", report.problem
    elif report.next_step:
        yield "next step", printable(report.next_step, TEXT_LIMIT)
    yield "start Codex", report.codex_command
    yield "dashboard", report.dashboard
    if report.mitmweb:
        yield "mitmweb", report.mitmweb


def port_text(port: ExtraPort) -> str:
    return f"{port.url} ({port.provider})" if port.provider else port.url


def provider_text(report: StartReport) -> str:
    if report.is_demo:
        return "none is set up: a demonstration answers, without a model"
    title = "" if report.provider == GENERIC else printable(report.title, TEXT_LIMIT)
    return ", ".join(filter(None, (title, report.upstream, *model_words(report))))


def model_words(report: StartReport) -> Iterator[str]:
    if report.model_count is not None:
        yield f"{report.model_count} model{'s' * (report.model_count != 1)}"
    if report.model:
        yield f"default {printable(report.model, TEXT_LIMIT)}"


def codex_line(command: str, port: int, default_port: int) -> str:
    """The line that starts Codex by our own command. `command`: it, as the shell finds it."""
    place = "" if port == default_port else f" --port {port}"
    return f"{command} codex{place}"


def codex_proxy_line(address: str, ca_file: str, needs_key: bool, system: str = os.name) -> str:
    """The line that starts Codex through the relay where our command is not installed."""
    proxy = address.replace("://", "://relay:KEY@") if needs_key else address
    if system == "nt":  # PowerShell
        return f'$env:HTTPS_PROXY="{proxy}"; $env:CODEX_CA_CERTIFICATE="{ca_file}"; codex'
    return f"HTTPS_PROXY={proxy} CODEX_CA_CERTIFICATE={shlex.quote(ca_file)} codex"
