"""Which lines Codex's config.toml gets: for the relay that runs, or for the one that would."""

from dataclasses import dataclass
from pathlib import Path

from addons.demo_provider import MODEL as DEMO_MODEL

from ..running_relay import DEFAULT_PORT, absence_fault, find_relay_at, find_running_relay
from ..start_report import fetch_report
from ..user_settings import UserSettings, load_user_settings
from ..user_target import DEMO, user_target
from .forms import REASONS, ConfigForm, choose_form, codex_facts, form_block, usage_notes
from .home import codex_home

FILE_NAME = "config.toml"
REPORT_PATIENCE = 6.0  # s in which a relay that has just started asks its upstream


@dataclass(frozen=True)
class ConfigPlan:
    """The lines for one config.toml."""

    path: Path
    form: ConfigForm
    block: str
    notes: tuple[str, ...]


def config_path() -> Path:
    """The config.toml of this user's Codex."""
    return codex_home() / FILE_NAME


def plan_block(
    wanted: ConfigForm | None = None, model: str = "", port: int | None = None
) -> ConfigPlan:
    """The lines in the form that is wanted, or in the one that suits. Raises CommandFailed."""
    path, user = config_path(), load_user_settings()
    has_client_key = bool(user.settings.client_key)
    facts = codex_facts(path, has_client_key)
    form = choose_form(facts, wanted)
    relay = find_running_relay(port)
    if not relay and find_relay_at(port or DEFAULT_PORT):
        raise absence_fault(port)  # plain Codex would send everything to another user's relay
    report = fetch_report(relay, REPORT_PATIENCE) if relay else None
    model = model or (report.model if report else "") or configured_model(user)
    origin = relay.origin if relay else f"http://127.0.0.1:{port or DEFAULT_PORT}"
    notes = [f"{REASONS[form]}.", *usage_notes(form, facts)]
    if not relay:
        notes.append(f"No relay runs at {origin} yet: start it with `mitmcodex up --detach`.")
    if not model:
        notes.append("Choose a model in Codex with /model, or here with --model.")
    block = form_block(form, origin, model, has_client_key=has_client_key)
    return ConfigPlan(path, form, block, tuple(notes))


def configured_model(user: UserSettings) -> str:
    """The model that a relay with these settings uses by default; "" if they do not say it."""
    provider = user_target(user).provider
    return user.settings.model or provider.model or (DEMO_MODEL if provider.name == DEMO else "")
