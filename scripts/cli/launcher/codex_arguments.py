"""What Codex's arguments ask for, and the settings that are put before them. Pure.

Seen with Codex 0.163 and 0.169: settings (`-c`) before a subcommand apply to it as well."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from addons.relay_health import LOOPBACK_HOSTS

# Options of Codex before a subcommand that have a value.
SETTING_OPTIONS = frozenset({"-c", "--config", "--enable", "--disable"})
VALUE_OPTIONS = SETTING_OPTIONS | {
    *("--remote", "--remote-auth-token-env", "-i", "--image", "-m", "--model", "--local-provider"),
    *("-p", "--profile", "-s", "--sandbox", "-a", "--ask-for-approval", "-C", "--cd", "--add-dir"),
}
INFORMING_OPTIONS = frozenset({"-h", "--help", "-V", "--version"})
# Commands that ask a model and print, that talk with a program, and that need no model at all. All
# others, and a prompt, have Codex's screen.
PRINTING_COMMANDS = frozenset({"exec", "e", "review"})
SERVING_COMMANDS = frozenset(
    {"mcp-server", "app-server", "exec-server", "remote-control", "queue", "doctor"}
)
LOCAL_COMMANDS = frozenset(
    {
        *("help", "login", "logout", "mcp", "plugin", "completion", "update", "sandbox", "debug"),
        *("apply", "a", "archive", "delete", "unarchive", "migrate-rollouts", "migrate-nfs-db"),
        *("cloud", "features", "execpolicy"),
    }
)
SCREEN_COMMANDS = frozenset({"", "resume", "fork", "agents"})
ALL_COMMANDS = PRINTING_COMMANDS | SERVING_COMMANDS | LOCAL_COMMANDS | SCREEN_COMMANDS
BUILTIN_PROVIDER = "openai"
# A background process of Codex would go on with the proxy of its first start.
NO_DAEMON = "features.daemon_auto_start=false"
# The login exists in memory only: nothing is written to auth.json or to the keyring.
LOGIN_IN_MEMORY = 'cli_auth_credentials_store="ephemeral"'


def codex_command(arguments: Sequence[str]) -> str:
    """The subcommand; "" for Codex's screen, with a prompt or without; `help` for options that make
    Codex print something and end."""
    if set(arguments[: end_of_options(arguments)]) & INFORMING_OPTIONS:
        return "help"
    values = iter(arguments)
    for argument in values:
        if argument in VALUE_OPTIONS:
            next(values, None)
        elif not argument.startswith("-"):
            return argument if argument in ALL_COMMANDS else ""
        elif argument == "--":
            return ""
    return ""


def end_of_options(arguments: Sequence[str]) -> int:
    return list(arguments).index("--") if "--" in arguments else len(arguments)


def has_screen(arguments: Sequence[str]) -> bool:
    """Whether Codex opens its screen on the terminal, which needs a login. With a server that the
    user names, it needs none here."""
    names = {argument.partition("=")[0] for argument in arguments}
    return codex_command(arguments) in SCREEN_COMMANDS and "--remote" not in names


def setting_arguments(arguments: Sequence[str]) -> list[str]:
    """The settings among the arguments."""
    settings: list[str] = []
    for index, argument in enumerate(arguments):
        if argument in SETTING_OPTIONS:
            settings += arguments[index : index + 2]
        elif argument.partition("=")[0] in SETTING_OPTIONS:
            settings.append(argument)
    return settings


def codex_settings(config: Mapping[str, Any], base_url: str, catalog: Path | None) -> list[str]:
    """Codex's arguments `-c …` with which it uses the relay. `config`: the user's config.toml.
    `catalog`: the relay's list of models; with it, Codex keeps none in its home."""
    settings = [NO_DAEMON, *route_settings(config, base_url)]
    if catalog:
        settings.append(f"model_catalog_json={toml_text(str(catalog))}")
    return [word for setting in settings for word in ("-c", setting)]


def route_settings(config: Mapping[str, Any], base_url: str) -> Iterator[str]:
    """What config.toml has instead of OpenAI's own address, changed to this relay's.

    A provider of its own that is a relay on this machine stays, with its sessions."""
    if config.get("openai_base_url"):
        yield f"openai_base_url={toml_text(base_url)}"
    match config.get("model_provider", BUILTIN_PROVIDER):
        case str(name) if name != BUILTIN_PROVIDER:
            # Codex splits the names at each dot, whatever quotes are around them.
            if is_on_this_machine(config, name) and "." not in name:
                yield f"model_providers.{name}.base_url={toml_text(base_url)}"
            else:
                yield f"model_provider={toml_text(BUILTIN_PROVIDER)}"


def is_on_this_machine(config: Mapping[str, Any], provider: str) -> bool:
    """Whether the provider of config.toml has an address on this machine."""
    match config:
        case {"model_providers": {**tables}}:
            table = tables.get(provider)
            url = str(table.get("base_url", "")) if isinstance(table, dict) else ""
            return urlsplit(url).hostname in LOOPBACK_HOSTS
    return False


def toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
