"""Which of the two forms of lines suits this user's Codex."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from addons.codex_blocks import KEY_VARIABLE, base_url_block, provider_block

from ..errors import CommandFailed
from .edits import OWN_PROVIDER, NotUnderstood, parse_config
from .home import CodexLogin, codex_login, read_config
from .record import load_record


class ConfigForm(StrEnum):
    BASE_URL = "base URL"
    PROVIDER = "provider table"


REASONS = {
    ConfigForm.BASE_URL: "Codex keeps its own provider, so your earlier sessions stay in its lists",
    ConfigForm.PROVIDER: "Codex needs no login; `codex resume` lists only its own sessions",
}

# With openai_base_url: tried on Codex 0.163 and 0.169.
LOGIN_NOTES = {
    CodexLogin.NONE: "Codex asks for a login with these lines: `codex login` once, or any API key.",
    CodexLogin.KEY: "With your API key, Codex asks for no list of models and warns about that; "
    "--provider-table has the list.",
    CodexLogin.CHATGPT: "",
}


@dataclass(frozen=True)
class CodexFacts:
    """What decides about the form."""

    login: CodexLogin
    other_provider: str = ""  # that Codex uses without the relay's lines; "" for its own
    has_client_key: bool = False  # the relay asks for a key


def codex_facts(path: Path, has_client_key: bool = False) -> CodexFacts:
    """The facts of the Codex with this config.toml. Raises CommandFailed."""
    record = load_record(path)
    text = record.before if record else read_config(path)
    try:
        data: dict[str, Any] = parse_config(text or "")
    except NotUnderstood:
        data = {}  # `write_block` reports it
    provider = str(data.get("model_provider", OWN_PROVIDER))
    other_provider = "" if provider == OWN_PROVIDER else provider
    return CodexFacts(codex_login(path.parent), other_provider, has_client_key)


def choose_form(facts: CodexFacts, wanted: ConfigForm | None = None) -> ConfigForm:
    """The form that was asked for, else the one that suits. Raises CommandFailed for a base URL
    that would have no effect."""
    obstacle = base_url_obstacle(facts)
    if wanted is ConfigForm.BASE_URL and obstacle:
        raise CommandFailed(f"openai_base_url would not work: {obstacle}", "use --provider-table")
    if wanted:
        return wanted
    suits = facts.login is not CodexLogin.NONE and not obstacle
    return ConfigForm.BASE_URL if suits else ConfigForm.PROVIDER


def base_url_obstacle(facts: CodexFacts) -> str:
    if facts.other_provider:
        return f"Codex's config.toml chooses the provider {facts.other_provider!r}"
    if facts.has_client_key:
        return "your relay asks for a key, and Codex would send its own login"
    return ""


def form_block(form: ConfigForm, origin: str, model: str, *, has_client_key: bool) -> str:
    """The lines, for the relay at this origin."""
    if form is ConfigForm.BASE_URL:
        return base_url_block(origin, model)
    return provider_block(origin, model, has_client_key=has_client_key)


def usage_notes(form: ConfigForm, facts: CodexFacts) -> list[str]:
    """What the user has to do beside."""
    notes: list[str] = []
    if form is ConfigForm.BASE_URL:
        notes += filter(None, [LOGIN_NOTES[facts.login]])
    if form is ConfigForm.PROVIDER and facts.has_client_key:
        notes.append(f"Your relay asks for a key: put it into the variable {KEY_VARIABLE}.")
    return notes
