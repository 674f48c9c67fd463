"""The facts of the start report: the ports, the upstream, what it answers, and the pages."""

import asyncio
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mitmproxy import ctx

from addons.config import current_settings
from addons.identity import VERSION
from addons.ingress import is_loopback_address, listen_addresses
from addons.routing import Target, UpstreamCheck, check_target, main_target
from addons.start_report import ExtraPort, StartReport, codex_line, codex_proxy_line
from translate import BadRequest, CatalogModel

DEFAULT_PORT = 8080  # of mitmproxy, and of our own command
COMMAND = "mitmcodex"
WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared only
LOOPBACK = "127.0.0.1"
VARIABLES_STEP = "set CODEX_RELAY_UPSTREAM=https://… and CODEX_RELAY_API_KEY=…"
LISTEN_TIMEOUT = 5.0  # s until the ports are open


async def wait_for_listeners(expected_ports: Sequence[int]) -> None:
    """Wait until mitmproxy listens on these ports, at most LISTEN_TIMEOUT."""
    expected = set(expected_ports)
    for _ in range(int(LISTEN_TIMEOUT / 0.02)):
        if expected <= {port for _, port in listen_addresses()}:
            return
        await asyncio.sleep(0.02)


async def build_report() -> StartReport:
    """The report of the running relay, which asks its upstream. Never raises."""
    try:
        target = main_target()
    except (BadRequest, RuntimeError) as error:  # no base URL; no demonstration
        return replace(describe_relay(), fault=str(error))
    report = replace(
        describe_relay(),
        provider=target.provider.name,
        title=target.provider.title,
        upstream=target.url,
    )
    return await add_check(report, target)


async def add_check(report: StartReport, target: Target) -> StartReport:
    """The report with what the upstream answers."""
    default_model = current_settings().model or target.provider.model
    try:
        check = await check_target(target)
    except Exception as error:  # the report must not hide that the relay runs
        logging.debug("mitmcodex failed to check its upstream", exc_info=error)
        return replace(report, model=default_model, fault=f"the check failed: {error}")
    models = [entry for entry in check.models or () if entry.chat and not entry.hidden]
    return replace(
        report,
        model_count=None if check.models is None else len(models),
        model=default_model or first_name(models),
        fault=fault_text(check),
        next_step=demo_step() if report.is_demo else check.next_step,
    )


def first_name(models: Sequence[CatalogModel]) -> str:
    return next((entry.id for entry in models), "")


def fault_text(check: UpstreamCheck) -> str:
    """The fault; with `relay_private`, without the upstream's own text."""
    status_words = f"answered {check.status}"
    head, mark, _ = check.fault.partition(f"{status_words}: ")
    return head + status_words if mark and current_settings().private else check.fault


def describe_relay() -> StartReport:
    """The report without the upstream."""
    settings = current_settings()
    (main_host, main_port), *_ = listen_addresses() or [(LOOPBACK, DEFAULT_PORT)]
    address = url_at(main_host, main_port)
    return StartReport(
        version=VERSION,
        address=address,
        serves_others=bool(settings.client_key) and not is_loopback_address(main_host),
        provider="",
        title="",
        upstream="",
        codex_command=codex_start_line(address, main_port),
        dashboard=f"{address}/relay/",
        ports=additional_addresses(main_port),
        mitmweb=str(getattr(ctx.master, "web_url", "")),
    )


def url_at(host: str, port: int) -> str:
    """The URL of a port as programs on this machine reach it."""
    name = LOOPBACK if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def additional_addresses(main_port: int) -> tuple[ExtraPort, ...]:
    """The other ports that are open, once each, with the provider to which each belongs."""
    provider_of = {port: name for name, port in current_settings().ports}
    hosts = {port: host for host, port in reversed(listen_addresses()) if port != main_port}
    return tuple(
        ExtraPort(url_at(host, port), provider_of.get(port, ""))
        for port, host in sorted(hosts.items())
    )


def codex_start_line(address: str, port: int) -> str:
    if command := find_command():
        return codex_line(command, port, DEFAULT_PORT)
    ca_file = Path(ctx.options.confdir).expanduser() / "mitmproxy-ca-cert.pem"
    return codex_proxy_line(address, str(ca_file), bool(current_settings().client_key))


def demo_step() -> str:
    """How to get from the demonstration to a provider, in a line of at most 80 columns."""
    command = find_command()
    step = f"{command} setup, or set CODEX_RELAY_UPSTREAM" if command else VARIABLES_STEP
    return f"{step}; then start again"


def find_command() -> str:
    """Our command as a shell finds it: by name, or else by its path, beside this Python or in this
    checkout; "" if it is not installed."""
    if shutil.which(COMMAND):
        return COMMAND
    path = shutil.which(COMMAND, path=Path(sys.executable).parent)
    checkout_script = Path(__file__).parents[2] / "scripts" / COMMAND
    if not path and os.name == "posix" and checkout_script.is_file():
        path = str(checkout_script)
    return shlex.quote(shorter_path(path)) if path else ""


def shorter_path(path: str) -> str:
    """The path from the current folder, if it is below that."""
    try:
        return f"./{Path(path).relative_to(Path.cwd())}"
    except (ValueError, OSError):
        return path
