"""`mitmcodex setup`"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from addons.config import VARIABLE_PREFIX
from addons.system_keyring import working_keyring

from ..codex_config.changes import write_block
from ..codex_config.plan import plan_block
from ..console import messages, print_line, print_note, short_path, visible_text
from ..errors import CommandFailed
from ..running_relay import find_running_relay
from ..service.manager import install_service, user_service_plan
from ..setup.choices import Choice, ChosenKey, CodexWay
from ..setup.interview import (
    Interview,
    KeyStorage,
    Questions,
    SetupFlags,
    SetupResult,
    valid_key,
)
from ..setup.relay_file import SETUP_KEYS, masked_text
from ..setup.saving import SetupPlan, plan_setup, save_plan
from ..user_settings import load_relay_file


def set_up(
    provider: Annotated[str, typer.Option(help="As in `mitmcodex providers`.")] = "",
    upstream: Annotated[str, typer.Option(help="Base URL, if it is not the usual one.")] = "",
    key_stdin: Annotated[
        bool, typer.Option("--key-stdin", help="Read the key from stdin.")
    ] = False,
    key_env: Annotated[str, typer.Option(help="Take the key from this variable.")] = "",
    key: Annotated[str, typer.Option(help="The key itself; `ps` shows it to others.")] = "",
    keep_key: Annotated[KeyStorage | None, typer.Option(help="Where the key is kept.")] = None,
    model: Annotated[str, typer.Option(help="The model that serves by default.")] = "",
    codex: Annotated[CodexWay | None, typer.Option(help="How you start Codex.")] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not ask the provider.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Choose a provider, its key and a model, for relay.toml.

    Nothing is written before you agree. The key goes into the system's keyring, if one works.

    Examples:
      mitmcodex setup
      mitmcodex setup --provider ollama --yes
      pass show deepseek | mitmcodex setup --provider deepseek --key-stdin --yes
    """
    file = load_relay_file(os.environ)
    chosen_key = key_from_flags(key, key_env, key_stdin, os.environ)
    storage = str(keep_key) if keep_key else ""
    flags = SetupFlags(provider, upstream, chosen_key, model, codex, storage, no_check)
    can_ask = sys.stdin.isatty() and not yes
    questions: Questions = TerminalQuestions() if can_ask else UnattendedQuestions(yes)
    if not can_ask:
        require_flags(flags, yes)
    interview = Interview(flags, questions, file, os.environ, has_keyring)
    result = interview.hold()
    plan = plan_setup(result, file)
    show_plan(plan, result)
    if not questions.confirm("Write it?", "--yes"):
        print_note("Nothing is written.")
        raise typer.Exit(1)
    save_plan(plan)
    print_line(f"Wrote {short_path(plan.path)}.")
    if plan.former_text not in (None, plan.text):
        print_note(f"The file as it was: {short_path(plan.backup)}")
    warn_of_variables(os.environ)
    print_line(f"Next: {finish_setup(result)}")


def has_keyring() -> bool:
    """Whether the system's keyring works; it may ask the user to unlock it."""
    with messages.status("Asking the system's keyring …"):
        return working_keyring() is not None


def key_from_flags(
    key: str, variable: str, from_stdin: bool, variables: Mapping[str, str]
) -> ChosenKey | None:
    """The key that the command line leads to. Raises CommandFailed."""
    if sum(map(bool, (key, variable, from_stdin))) > 1:
        raise CommandFailed("--key, --key-env and --key-stdin exclude one another", "pass one")
    if key:
        print_note(
            "Other users of this machine can read --key in lists of processes, and your shell may "
            "keep it in its history: prefer --key-stdin or --key-env.",
            "yellow",
        )
        return valid_key(key, "--key")
    if variable:
        if not variables.get(variable, "").strip():
            raise CommandFailed(f"the variable {variable} is not set", f"export {variable} first")
        return valid_key(variables[variable], f"${variable}")
    if from_stdin:
        if not (text := sys.stdin.readline().strip()):
            raise CommandFailed("no key came on stdin", "pipe it in: `… | mitmcodex setup …`")
        return valid_key(text, "stdin")
    return None


def require_flags(flags: SetupFlags, yes: bool) -> None:
    """Raises CommandFailed, which names all flags that a run without questions lacks."""
    missing = []
    if not (flags.provider or flags.upstream):
        missing.append("--provider NAME or --upstream URL")
    if not yes:
        missing.append("--yes")
    if missing:
        raise CommandFailed(
            "setup cannot ask without a terminal" if not yes else "setup is to ask nothing",
            f"pass {' and '.join(missing)}",
        )


def show_plan(plan: SetupPlan, result: SetupResult) -> None:
    print_note(f"{short_path(plan.path)} will be:", "")
    for line in masked_text(plan.text).splitlines():
        print_note(f"    {line}", "")
    if plan.keyring_entry:
        print_note(f"The key goes into the system's keyring, as {plan.keyring_entry!r}.")
    elif result.key_storage:
        print_note("The key is in this file, which only you can read.")


def warn_of_variables(variables: Mapping[str, str]) -> None:
    names = [VARIABLE_PREFIX + key.upper() for key in SETUP_KEYS]
    for name in names:
        if variables.get(name):
            print_note(f"{name} is set in your shell and overrides relay.toml.", "yellow")


def finish_setup(result: SetupResult) -> str:
    """Do what was chosen for Codex; the one next command."""
    if result.upstream.provider.accounts:
        return "`mitmcodex login`, and then `mitmcodex codex`"
    is_running = find_running_relay() is not None
    if result.way is CodexWay.COMMAND:
        again = " (the relay that runs keeps its old settings: first `mitmcodex down`)"
        return f"`mitmcodex codex`{again if is_running else ''}"
    plan = plan_block(model=result.model)
    write_block(plan.path, plan.block)
    print_line(f"Wrote the relay's lines into {short_path(plan.path)}.")
    print_note(plan.notes[0])
    if result.way is CodexWay.CONFIG:
        down = "`mitmcodex down`, then " if is_running else ""
        return f"{down}`mitmcodex up --detach`, and then `codex`"
    service = user_service_plan()
    install_service(service)
    print_line(f"The relay is a service now, and starts at login: {short_path(service.path)}")
    return "`codex`"


@dataclass(frozen=True)
class UnattendedQuestions:
    """Takes the defaults, and fails where there is none."""

    agrees: bool

    def choose(self, title: str, choices: Sequence[Choice], default: str, flag: str) -> str:
        return default

    def ask_text(self, title: str, flag: str) -> str:
        raise CommandFailed(f"not answered: {title}", f"pass {flag}")

    def ask_secret(self, title: str, flag: str) -> str:
        raise CommandFailed("this provider needs a key", f"pass {flag}")

    def confirm(self, title: str, flag: str) -> bool:
        return self.agrees and flag == "--yes"

    def say(self, text: str) -> None:
        print_note(text, "")


class TerminalQuestions:
    shown_choices: Sequence[Choice] = ()  # the last list, which is not shown twice

    def choose(self, title: str, choices: Sequence[Choice], default: str, flag: str) -> str:
        if choices != self.shown_choices:
            self.show_choices(title, choices)
        self.shown_choices = choices
        answers = [choice.answer for choice in choices]
        number = str(answers.index(default) + 1) if default in answers else visible_text(default)
        return str(typer.prompt("Number or name", default=number, err=True))

    def show_choices(self, title: str, choices: Sequence[Choice]) -> None:
        messages.print()
        print_note(title, "bold")
        width = max(len(choice.title) for choice in choices)
        for number, choice in enumerate(choices, 1):
            print_note(f"  {number:>2}  {choice.title:<{width}}  {choice.note}".rstrip(), "")

    def ask_text(self, title: str, flag: str) -> str:
        return str(typer.prompt(title, err=True))

    def ask_secret(self, title: str, flag: str) -> str:
        return str(typer.prompt(title, default="", hide_input=True, show_default=False, err=True))

    def confirm(self, title: str, flag: str) -> bool:
        return bool(typer.confirm(title, default=flag == "--yes", err=True))

    def say(self, text: str) -> None:
        print_note(text, "")
