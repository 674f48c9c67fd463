"""The `Settings` in force, from options, environment and relay.toml. It also sets mitmproxy's own
options as the relay needs them."""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, Optional

from mitmproxy import ctx, optmanager
from mitmproxy.addonmanager import Loader
from mitmproxy.exceptions import OptionsError

from addons.config.config_file import (
    ConfigFile,
    WrongSettings,
    collect_values,
    config_path,
    deprecation_notices,
    read_settings,
    unknown_name_faults,
)
from addons.config.option_types import setting_text
from addons.config.settings import (
    CONCEALED_FIELDS,
    DEPRECATED,
    FIELD_OF_OPTION,
    OPTION_PREFIX,
    SETTING_FIELDS,
    VARIABLE_PREFIX,
    Settings,
)
from addons.flow_data import MASK
from translate import Provider

# With these, mitmproxy intercepts without contacting OpenAI, and opens one upstream connection for
# each exchange.
MITMPROXY_DEFAULTS = {
    "http2": False,
    "connection_strategy": "lazy",
    "upstream_cert": False,
    "web_columns": ["tls", "icon", "path", "comment", "method", "status", "size", "time"],
}

# Keeps mitmdump from printing flows, as the relay logs a line for each exchange, except for errors
# of flows that the relay only passes on. It is not set if the user has set `flow_detail`, as -v
# does; a filter of the user's replaces it.
QUIET_MITMDUMP = {"dumper_filter": "~e & ! ~meta 'relay.route: (?!pass)'"}

# mitmproxy would send a streamed body to the host that the client named, past the relay.
STREAMING_FAULT = (
    "stream_large_bodies is set: the relay must read requests before they go on; remove it"
)

_current = Settings.model_validate({})
_file = ConfigFile.empty()
concealed_values: dict[str, str] = {}  # values of options that mitmproxy's pages show as MASK


def current_settings() -> Settings:
    """The settings in force."""
    return _current


def available_providers() -> Mapping[str, Provider]:
    """All providers by name, including those of relay.toml."""
    return _file.providers


def additional_providers() -> list[str]:
    """The names of the providers in `relay_ports` and relay.toml."""
    return list(dict.fromkeys([*(name for name, _ in _current.ports), *_file.user_providers]))


def setting_origin(name: str) -> str:
    """Where the user has set this setting, for messages: `relay_api_key`, `CODEX_RELAY_API_KEY`,
    `relay.toml (api_key)`; "" if it has its default."""
    option, variable = OPTION_PREFIX + name, VARIABLE_PREFIX + name.upper()
    if getattr(getattr(ctx, "options", None), option, None):
        return option
    if os.environ.get(variable, "").strip():
        return variable
    return f"{_file.path.name} ({name})" if _file.values.get(name) else ""


def key_from_environment(variable: str) -> str | None:
    """The key in this environment variable; None if there is none that a header can carry."""
    text = os.environ.get(variable, "").strip()
    if text and not re.fullmatch(r"[!-~]+", text):
        logging.warning(f"{variable} has characters that no HTTP header can carry: it is not used")
        return None
    return text or None


class Config:
    """Reads the settings at the start, when a fault is fatal, and whenever an option changes."""

    start_failed = False  # the settings have a fault, and mitmproxy is about to exit
    is_running = False  # mitmproxy's event loop runs

    def load(self, loader: Loader) -> None:
        values, faults = take_deferred_options(ctx.options)
        declare_options(loader)
        defaults = dict(MITMPROXY_DEFAULTS)
        if not is_set_by_user("flow_detail"):
            defaults |= QUIET_MITMDUMP
        update_options(**values, **{k: v for k, v in defaults.items() if not is_set_by_user(k)})
        try:
            refresh_settings()
            warn_of_deprecated()
        except WrongSettings as wrong:
            faults.extend(wrong.args)
        if ctx.options.stream_large_bodies:
            faults.append(STREAMING_FAULT)
        conceal_secrets()
        self.start_failed = bool(faults)
        for fault in faults:
            logging.error(fault)  # mitmproxy exits after a start with errors

    def configure(self, updated: set[str]) -> None:
        if self.start_failed:
            return
        options_error: Any = OptionsError  # untyped in mitmproxy
        if "stream_large_bodies" in updated and ctx.options.stream_large_bodies:
            raise options_error(STREAMING_FAULT)
        if updated.isdisjoint(FIELD_OF_OPTION):
            return
        try:
            refresh_settings()
        except WrongSettings as wrong:
            raise options_error("; ".join(wrong.args)) from None
        if self.is_running:  # later, as mitmproxy is still applying this change
            asyncio.get_running_loop().call_soon(conceal_secrets)

    def running(self) -> None:
        self.is_running = True


def declare_options(loader: Loader) -> None:
    """Declare every option as text or None (not set).

    With any other type, mitmproxy would drop wrong values without a word."""
    optional: Any = Optional[str]  # noqa: UP045 - mitmproxy compares it with this very form
    for option, name in FIELD_OF_OPTION.items():
        if name in DEPRECATED:
            help_text = f"Deprecated: use {OPTION_PREFIX}{DEPRECATED[name].setting}."
        else:
            help_text = SETTING_FIELDS[name].description or ""
        loader.add_option(option, optional, None, help_text)


def conceal_secrets() -> None:
    """Replace the values of secret options, which mitmproxy shows and saves, by MASK."""
    masked = {
        name: MASK for name in concealed_values if getattr(ctx.options, name) not in (None, MASK)
    }
    if masked and _current.redact:
        update_options(**masked)


def additional_ports() -> list[int]:
    """The ports on which the relay listens in addition to mitmproxy's own."""
    return [port for port in (_current.port, *(port for _, port in _current.ports)) if port]


def refresh_settings() -> None:
    """Read all settings again. Raises WrongSettings, and keeps the old settings in that case."""
    global _current, _file
    options = read_options()
    file = ConfigFile.from_path(config_path(options, os.environ))
    _current, _file = read_settings(options, os.environ, file), file


def use_settings(settings: Settings, file: ConfigFile) -> None:
    """Put these settings in force, in a process in which no mitmproxy runs."""
    global _current, _file
    _current, _file = settings, file


def read_options() -> dict[str, str | None]:
    """The values of our options. For those that show MASK, the value is in `concealed_values`,
    where this function stores new secret values."""
    options: dict[str, str | None] = {name: getattr(ctx.options, name) for name in FIELD_OF_OPTION}
    for name in (f"{OPTION_PREFIX}{field}" for field in CONCEALED_FIELDS):
        value = options[name]
        if value == MASK:
            options[name] = concealed_values.get(name)
        elif value:
            concealed_values[name] = value
    return options


def warn_of_deprecated() -> None:
    """Log a line for each deprecated setting in use."""
    for notice in deprecation_notices(collect_values(read_options(), os.environ, _file)):
        logging.warning(notice)


def take_deferred_options(options: Any) -> tuple[dict[str, str], list[str]]:
    """Our options from the command line and from config.yaml, as text, and the faults in them.

    mitmproxy keeps them in `deferred` until an addon declares them. It would ignore unknown ones,
    and go on without this script because of a number in config.yaml; so they are removed there."""
    values: dict[str, str] = {}
    deferred = [name for name in options.deferred if name.startswith(OPTION_PREFIX)]
    faults = list(unknown_name_faults(deferred, FIELD_OF_OPTION))
    for name in deferred:
        value = options.deferred.pop(name)
        if isinstance(texts := getattr(value, "val", None), list):  # --set: one text for each
            if len(texts) > 1:
                faults.append(f"{name} is set {len(texts)} times: set it once")
            value = texts[0] if texts else None
        if name in FIELD_OF_OPTION and value is not None:
            values[name] = setting_text(value)
    return values, faults


def update_options(**values: Any) -> None:
    """Set options. mitmproxy then calls every addon's `configure`."""
    options: Any = ctx.options  # untyped in mitmproxy
    options.update(**values)


def is_set_by_user(option: str) -> bool:
    """Whether the user set this option of mitmproxy's, if only to its default value.

    Also true if the mitmproxy program that runs has no such option."""
    entry = ctx.options._options.get(option)
    return entry is None or entry.value is not optmanager.unset
