"""Codex: its version, its background process, and its config.toml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from addons.relay_health import LOOPBACK_HOSTS
from addons.routing import NEWEST_CODEX_VERSION

from ..codex_config.edits import OWN_PROVIDER, NotUnderstood
from ..codex_config.home import codex_home
from ..console import without_password
from ..errors import CommandFailed
from ..launcher.codex_program import INSTALL_STEP, codex_version, find_codex
from .context import DoctorContext
from .finding import DoctorFinding, failure, healthy, warning

OLDEST_CODEX_VERSION = "0.163.0"  # with which the relay is tested
# Providers that Codex knows without a table.
BUILTIN_PROVIDERS = frozenset({"openai", "ollama", "lmstudio", "oss", "amazon-bedrock"})
CONFIG_CURE = "write the right lines with `mitmcodex config write`, or use `mitmcodex codex`"
PROXY_VARIABLES = "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"
CA_VARIABLES = "CODEX_CA_CERTIFICATE", "SSL_CERT_FILE"  # Codex takes the first one that is set
STOP_DAEMON = "stop it: `codex app-server daemon stop`"


# The program


def check_codex(context: DoctorContext) -> DoctorFinding:
    try:
        program = find_codex()
        version = codex_version(program)
    except CommandFailed as fault:
        return warning("Codex", fault.message, INSTALL_STEP)
    if version_numbers(version) < version_numbers(OLDEST_CODEX_VERSION):
        text = f"{version} is older than {OLDEST_CODEX_VERSION}, with which the relay is tested"
        return warning("Codex", text, "update it: `npm install -g @openai/codex`")
    if version_numbers(version)[:2] > version_numbers(NEWEST_CODEX_VERSION)[:2]:
        text = f"{version} is newer than {NEWEST_CODEX_VERSION}, the newest that the relay knows"
        return warning("Codex", text, "update mitmcodex if something fails")
    return healthy("Codex", f"{version}, {program}")


def version_numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


# The background process, which keeps the environment of its first start


@dataclass(frozen=True)
class CodexDaemon:
    pid: int
    environment: Mapping[str, str]


def check_daemon(context: DoctorContext) -> DoctorFinding:
    name = "Codex's background process"
    home = codex_home(context.environment)
    daemons = [each for each in running_daemons() if codex_home(each.environment) == home]
    for daemon in daemons:
        for names in (PROXY_VARIABLES, CA_VARIABLES):
            environments = daemon.environment, context.environment
            theirs, ours = (first_value(environment, names) for environment in environments)
            if theirs != ours:
                values = [without_password(value) or "(none)" for value in (theirs, ours)]
                text = f"runs with {names[0]}={values[0]}, and this shell has {values[1]}"
                return warning(name, f"process {daemon.pid} {text}", STOP_DAEMON)
    return healthy(name, "runs with this shell's environment" if daemons else "none runs")


def first_value(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def running_daemons() -> Iterator[CodexDaemon]:
    """This user's `codex app-server` processes, apart from those that `mitmcodex codex` starts."""
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if is_daemon(words):
                yield CodexDaemon(process.pid, process.environ())
        except (psutil.Error, OSError):  # it has ended, or is another user's
            continue


def is_daemon(words: list[str]) -> bool:
    """Whether this is the command of a server, of Codex (0.169) or of an editor's extension. A
    script's name follows its interpreter. The loop that updates Codex is no server."""
    names = [Path(word).name for word in words[:2]]
    is_codex = any(name.split(".")[0] == "codex" for name in names)
    return is_codex and "app-server" in words[1:] and not {"daemon", "--ws-auth"} & set(words)


# config.toml


def check_config(context: DoctorContext) -> DoctorFinding:
    """What in Codex's config.toml leads plain `codex` past the relay, or nowhere."""
    name, path = "config.toml", context.config_path
    try:
        config = context.codex_config
    except (NotUnderstood, CommandFailed) as error:
        text = f"{path}: {error.message if isinstance(error, CommandFailed) else error}"
        return failure(name, text, "mend the line: Codex does not start with it")
    provider, settings = effective_provider(config), effective_settings(config)
    table = config.get("model_providers", {}).get(provider, {})
    source = provider_source(config)
    if table.get("wire_api") == "chat":
        text = f'{path}: wire_api = "chat" of {provider!r} is no longer served by Codex'
        return failure(name, text, 'write wire_api = "responses"')
    if not table and provider not in BUILTIN_PROVIDERS:
        text = f"{path}: {source} names {provider!r}, which has no table"
        return failure(name, text, CONFIG_CURE)
    base_url = codex_base_url(config)
    if not base_url:
        if provider != OWN_PROVIDER:
            text = f"{path}: {source} is {provider!r}: Codex goes past the relay"
            return warning(name, text, CONFIG_CURE)
        model = settings.get("model")
        return healthy(name, f"nothing in the way{f'; model {model}' if model else ''}")
    text = f"{path}: {source} leads to {without_password(base_url)}"
    return base_url_finding(context, text, base_url)


def base_url_finding(context: DoctorContext, text: str, base_url: str) -> DoctorFinding:
    name = "config.toml"
    try:
        port = urlsplit(base_url).port or 80
    except ValueError:
        return failure(name, f"{text}, which is no URL", CONFIG_CURE)
    if not is_loopback_url(base_url):
        return warning(name, f"{text}, past the relay", CONFIG_CURE)
    if context.is_relay_port(port):
        return healthy(name, f"{text}, the relay")
    if context.relay:
        return failure(name, f"{text}, and the relay is on port {context.relay.port}", CONFIG_CURE)
    return failure(name, f"{text}, where no relay runs", f"start it: `mitmcodex up --port {port}`")


def is_loopback_url(url: str) -> bool:
    try:
        return urlsplit(url).hostname in LOOPBACK_HOSTS
    except ValueError:
        return False


def effective_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The top-level settings, as the chosen profile changes them."""
    profile = config.get("profiles", {}).get(config.get("profile", ""), {})
    return {**config, **profile}


def effective_provider(config: Mapping[str, Any]) -> str:
    return str(effective_settings(config).get("model_provider") or OWN_PROVIDER)


def provider_source(config: Mapping[str, Any]) -> str:
    """What decides where requests go, for messages."""
    profile = config.get("profile")
    settings = effective_settings(config)
    if settings.get("model_provider") != config.get("model_provider"):
        return f"model_provider of profile {profile!r}"
    is_own = effective_provider(config) == OWN_PROVIDER
    return "openai_base_url" if is_own and settings.get("openai_base_url") else "model_provider"


def codex_base_url(config: Mapping[str, Any]) -> str:
    """The base URL that Codex's settings name; "" for OpenAI's own."""
    settings, provider = effective_settings(config), effective_provider(config)
    table = config.get("model_providers", {}).get(provider, {})
    own = settings.get("openai_base_url") if provider == OWN_PROVIDER else ""
    return str(table.get("base_url") or own or "")
