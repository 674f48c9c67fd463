"""What `mitmcodex up` is asked for, against what runs already and which ports are free."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from addons.identity import WEB_PAGE_VARIABLE
from addons.launch import LOOPBACK_ARGUMENTS, NotStarted

from ..errors import CommandFailed
from ..running_relay import (
    DEFAULT_PORT,
    RunningRelay,
    ask_started_relay,
    find_own_relay,
    hang_fault,
    read_started_relay,
    wait_for_answer,
    web_page_path,
)
from ..user_settings import UserSettings, load_user_settings
from .environment import provider_variables, relay_environment
from .fingerprints import changed_settings, setting_fingerprints
from .ports import WEB_PORT, choose_port, require_port
from .start import (
    START_PATIENCE,
    RelayStart,
    run_in_terminal,
    start_fault,
    start_in_background,
    start_lock,
)

PORT_FLAGS = ("-p", "--listen-port")


@dataclass(frozen=True)
class WantedRelay:
    """What the user asks for, by options, variables and relay.toml."""

    user: UserSettings
    variables: Mapping[str, str]  # the environment of the command, with what its options set
    has_options: bool  # options of the command set a provider or a model
    wanted_port: int | None
    with_web: bool
    flags: Sequence[str]  # of mitmproxy


def wanted_relay(
    provider: str,
    upstream: str,
    model: str,
    port: int | None,
    with_web: bool,
    flags: Sequence[str],
) -> WantedRelay:
    """What these options ask for, with this environment and relay.toml. Raises CommandFailed."""
    if any(flag.startswith(PORT_FLAGS) for flag in flags):
        raise CommandFailed("the port is no flag of mitmproxy's here", "use --port", status=2)
    options = provider_variables(provider, upstream, model, os.environ)
    variables = {**os.environ, **options}
    user = load_user_settings(variables)
    return WantedRelay(user, variables, bool(options), port, with_web, flags)


def provide_relay(
    wanted: WantedRelay, in_background: bool, on_note: Callable[[str], None]
) -> tuple[RunningRelay, bool]:
    """The relay, and whether it is a new one. A new one that is not in the background replaces this
    process. Raises CommandFailed."""
    with start_lock():
        if relay := find_present_relay(wanted.wanted_port, on_note):
            require_same_relay(relay, wanted)
            return relay, False
        order, notes = plan_start(wanted)
        for note in notes:
            on_note(note)
        try:
            if not in_background:
                run_in_terminal(order)
            return start_in_background(order), True
        except NotStarted as failure:
            raise start_fault(failure) from None


def find_present_relay(port: int | None, on_note: Callable[[str], None]) -> RunningRelay | None:
    """The relay that runs already, or that is just starting. Raises CommandFailed if it hangs."""
    started = read_started_relay()
    if not started:
        return find_own_relay(port or DEFAULT_PORT)
    if relay := ask_started_relay(started):
        return relay
    on_note(f"Waiting for the relay on port {started.port}, which does not answer yet.")
    if relay := wait_for_answer(started, START_PATIENCE):
        return relay
    if started.is_alive:
        raise hang_fault(started)
    return find_own_relay(port or DEFAULT_PORT)


def require_same_relay(relay: RunningRelay, wanted: WantedRelay) -> None:
    """Raises CommandFailed if the relay that runs is not the wanted one."""
    if relay.started:
        ours = setting_fingerprints(wanted.user.file, wanted.variables, relay.started.mark)
        differences = changed_settings(ours, relay.started.settings)
        next_step = "`mitmcodex down` ends it; then start it again"
    else:  # its settings are not known
        differences = ["provider or model"] if wanted.has_options else []
        next_step = "end it where it was started, or start a second one with --port"
    differences += ["--port"] if wanted.wanted_port not in (None, relay.port) else []
    differences += ["--web"] if wanted.with_web and not relay.is_web else []
    if differences:
        names = ", ".join(differences)
        raise CommandFailed(
            f"a relay runs already at {relay.origin}, with other settings: {names}", next_step
        )


def plan_start(wanted: WantedRelay) -> tuple[RelayStart, list[str]]:
    """What to start, and notes on it for the user. Raises CommandFailed if a port is taken."""
    if wanted.wanted_port:
        choice = require_port(wanted.wanted_port)
    else:
        choice = choose_port(DEFAULT_PORT, [WEB_PORT])  # which is left to mitmweb's page
    arguments = [] if wanted.user.settings.client_key else [*LOOPBACK_ARGUMENTS]
    notes = [choice.note]
    if wanted.with_web:
        page = choose_port(WEB_PORT, [choice.port], "mitmweb's page")
        arguments += ["--web-port", str(page.port), "--no-web-open-browser"]
        notes.append(page.note)
    environment = relay_environment(wanted.variables, choice.port)
    order = RelayStart(
        program="mitmweb" if wanted.with_web else "mitmdump",
        port=choice.port,
        arguments=(*arguments, *wanted.flags),
        environment={**environment, WEB_PAGE_VARIABLE: os.fspath(web_page_path())},
        file=wanted.user.file,
    )
    return order, [note for note in notes if note]
