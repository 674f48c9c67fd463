"""The installed Codex, run through a relay."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from addons.private_files import write_private_file

from ..codex_config.home import codex_home
from ..console import print_note
from ..errors import CommandFailed
from ..relay_client import request_json
from .child_process import replace_process, run_program
from .codex_arguments import (
    LOCAL_COMMANDS,
    PRINTING_COMMANDS,
    codex_command,
    codex_settings,
    has_screen,
    setting_arguments,
)
from .codex_server import INVENTED_KEY, codex_server
from .environment import CODEX_CA_VARIABLE, foreign_proxy, proxy_environment
from .folder_trust import ask_for_trust
from .used_relay import (
    UsedRelay,
    program_folder,
    relay_for_program,
    save_authority,
    save_bundle,
)

INSTALL_STEP = "install it: `npm install -g @openai/codex`, then try again"
KEY_VARIABLE = "CODEX_API_KEY"  # `codex exec` reads it, its screen does not
# Codex tries a WebSocket first. The relay has none, and Codex goes on without, but logs an error.
LOG_VARIABLE = "RUST_LOG"
LOG_FILTER = "error,codex_api::endpoint::responses_websocket=off"
QUESTION_TIMEOUT = 20.0  # s that Codex has to say its version, or whether a login exists
VERSION_NUMBER = re.compile(r"\d+\.\d+\.\d+")
CONTINUE_NOTE = "That server has ended. To go on: mitmcodex codex resume --last"


@dataclass(frozen=True)
class CodexCall:
    """How Codex is started to use a relay."""

    program: str
    settings: list[str]  # arguments before the user's
    arguments: list[str]  # the user's
    environment: dict[str, str] = field(repr=False)
    needs_server: bool = False  # of ours, with an invented login

    @property
    def command(self) -> list[str]:
        return [self.program, *self.settings, *self.arguments]


def run_codex(arguments: Sequence[str], port: int | None) -> int:
    """Run Codex with these arguments; its exit status. Raises CommandFailed and NotStarted."""
    program = find_codex()
    if codex_command(arguments) in LOCAL_COMMANDS:  # it asks no model
        return replace_process([program, *arguments], os.environ)
    with relay_for_program(port) as relay:
        call = prepare_codex(program, list(arguments), relay)
        if call.needs_server:
            return run_with_server(call)
        if not relay.is_own:
            return replace_process(call.command, call.environment)
        return run_program(call.command, call.environment)


def prepare_codex(program: str, arguments: list[str], relay: UsedRelay) -> CodexCall:
    inherited = dict(os.environ)
    if proxy := foreign_proxy(inherited, relay.port):
        print_note(f"mitmcodex: the relay does not use the proxy {proxy} of your environment")
    if codex_command(arguments) in PRINTING_COMMANDS:
        print_note(relay.summary)
    catalog = save_catalog(relay, program)
    settings = codex_settings(read_codex_config(inherited), relay.base_url, catalog)
    environment = codex_environment(inherited, relay)
    if is_logged_in(program):
        return CodexCall(program, settings, arguments, environment)
    if has_screen(arguments):
        needs_server = sys.stdin.isatty()  # else Codex itself refuses
        return CodexCall(program, settings, arguments, environment, needs_server)
    environment.setdefault(KEY_VARIABLE, INVENTED_KEY)
    return CodexCall(program, settings, arguments, environment)


def run_with_server(call: CodexCall) -> int:
    trust = ask_for_trust(call.arguments, call.environment)
    settings = [*call.settings, *setting_arguments(call.arguments)]
    log = program_folder() / f"codex-{os.getpid()}.log"
    try:
        with codex_server(call.program, settings, call.environment, log) as (remote, variables):
            command = [call.program, *call.settings, *remote, *trust, *call.arguments]
            status = run_program(command, {**call.environment, **variables})
    finally:
        log.unlink(missing_ok=True)
    if status == 0:  # Codex has named a command with the server's address, which is gone now
        print_note(CONTINUE_NOTE)
    return status


def find_codex() -> str:
    """Raises CommandFailed if it is not on PATH."""
    if path := shutil.which("codex"):
        return path
    raise CommandFailed("Codex is not installed, or not on PATH", INSTALL_STEP, status=127)


def codex_environment(inherited: Mapping[str, str], relay: UsedRelay) -> dict[str, str]:
    """The variables with which Codex uses the relay and accepts its certificates.

    Raises CommandFailed."""
    ca_file = save_authority(relay)
    if former := inherited.get(CODEX_CA_VARIABLE) or inherited.get("SSL_CERT_FILE"):
        ca_file = save_bundle(relay, ca_file, former)
    proxied = proxy_environment(inherited, relay.proxy)
    return {LOG_VARIABLE: LOG_FILTER, **proxied, CODEX_CA_VARIABLE: str(ca_file)}


def save_catalog(relay: UsedRelay, program: str) -> Path | None:
    """A file with the relay's models as Codex lists them; None, with a note, if it has no list."""
    path = f"/v1/models?client_version={codex_version(program)}"
    try:
        catalog = request_json(relay.running, "GET", path)
    except CommandFailed as failure:
        print_note(f"mitmcodex: no list of models: {failure.message}", "yellow")
        return None
    if not (isinstance(catalog, dict) and catalog.get("models")):
        return None
    file = program_folder() / f"models-{relay.port}.json"
    write_private_file(file, json.dumps(catalog).encode())
    return file


def codex_version(program: str) -> str:
    """`0.169.0`. Raises CommandFailed if this is not Codex, or it cannot be started."""
    answer = ask_codex(program, "--version")
    if version := VERSION_NUMBER.search(answer.stdout):
        return version[0]
    raise CommandFailed(f"{program} --version says no version", INSTALL_STEP)


def is_logged_in(program: str) -> bool:
    """Whether Codex has a login, in a file or in the keyring."""
    return ask_codex(program, "login", "status").returncode == 0


def ask_codex(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Raises CommandFailed if it gives no answer."""
    try:
        return subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=QUESTION_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{program} does not work: {error}", INSTALL_STEP) from None


def read_codex_config(environment: Mapping[str, str]) -> dict[str, Any]:
    """The user's config.toml; {} if there is none. Codex itself reports one that is wrong."""
    try:
        return tomllib.loads((codex_home(environment) / "config.toml").read_text("utf-8-sig"))
    except (OSError, ValueError):
        return {}
