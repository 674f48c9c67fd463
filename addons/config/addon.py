"""Options, environment and relay.toml → the `Settings` in force; mitmproxy's own options as the
relay needs them."""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, Optional

from mitmproxy import ctx, optmanager
from mitmproxy.addonmanager import Loader
from mitmproxy.exceptions import OptionsError

from addons.config.config_file import File, Wrong, unknown
from addons.config.given import read
from addons.config.settings import (
    CONCEALED,
    ENV,
    FIELDS,
    IN_FILE,
    OPTION,
    OPTIONS,
    VARIABLES,
    Settings,
)
from translate import Provider

# Interception without contact to OpenAI, and one upstream connection for each exchange.
DEFAULTS = {
    **{"http2": False, "connection_strategy": "lazy", "upstream_cert": False},
    "web_columns": ["tls", "icon", "path", "comment", "method", "status", "size", "time"],
}

# mitmdump has a line of ours for these, or need not tell; unless it is to show all of them.
SHORT = {"dumper_filter": "! ~meta 'relay.(leg|facts)|relay.route: dashboard'"}

SHOWN = "(hidden)"

# A body that mitmproxy streams has gone to where the client sent it before anybody could read it.
UNREAD = "stream_large_bodies is set: the relay must read requests before they go on; remove it"

_current = Settings.model_validate({})
_file = File.none()
_secrets: dict[str, str] = {}  # options that mitmproxy's own pages show as SHOWN


def settings() -> Settings:
    """The settings in force."""
    return _current


def providers() -> Mapping[str, Provider]:
    """The providers that there are, those of relay.toml among them."""
    return _file.providers


def served() -> list[str]:
    """The providers that the user chose to have beside the one of `relay_upstream`."""
    return list(dict.fromkeys([*(name for name, _ in _current.ports), *_file.served]))


def variable(name: str) -> str | None:
    """A provider's own variable, if it holds what can be a key."""
    text = os.environ.get(name, "").strip()
    if text and not re.fullmatch(r"[!-~]+", text):
        logging.warning(f"{name} has characters that no HTTP header can carry: it is not used")
        return None
    return text or None


class Config:
    """Reads the settings at the start, where a wrong one is fatal, and at each change."""

    failed = False  # at the start; mitmproxy is about to exit
    active = False  # the options may be changed again

    def load(self, loader: Loader) -> None:
        given, faults = take(ctx.options)
        declare(loader)
        wanted = DEFAULTS | (SHORT if getattr(ctx.options, "flow_detail", 1) == 1 else {})
        change(**given, **{k: v for k, v in wanted.items() if not chosen(k)})
        for line in unknown((name for name in os.environ if name.startswith(ENV)), VARIABLES):
            logging.warning(line)
        try:
            refresh()
        except Wrong as wrong:
            faults.extend(wrong.args)
        if ctx.options.stream_large_bodies:
            faults.append(UNREAD)
        conceal()
        self.failed = bool(faults)
        for line in faults:
            logging.error(line)  # mitmproxy exits after a start with errors

    def configure(self, updated: set[str]) -> None:
        if self.failed:
            return
        refused: Any = OptionsError  # untyped in mitmproxy
        if "stream_large_bodies" in updated and ctx.options.stream_large_bodies:
            raise refused(UNREAD)
        if updated.isdisjoint(OPTIONS):
            return
        try:
            refresh()
        except Wrong as wrong:
            raise refused("; ".join(wrong.args)) from None
        if self.active:
            asyncio.get_running_loop().call_soon(conceal)

    def running(self) -> None:
        self.active = True


def declare(loader: Loader) -> None:
    """None is "not set". All are text, as a bad value of another type is lost without a word."""
    optional: Any = Optional[str]  # noqa: UP045 - mitmproxy compares it with this very form
    for name, field in OPTIONS.items():
        loader.add_option(name, optional, None, FIELDS[field].description or "")


def conceal() -> None:
    """mitmproxy shows and saves its options."""
    shown = {name: SHOWN for name in _secrets if getattr(ctx.options, name) not in (None, SHOWN)}
    if shown and _current.redact:
        change(**shown)


def ports() -> list[int]:
    """Where we listen beside mitmproxy's own port."""
    return [port for port in (_current.port, *(port for _, port in _current.ports)) if port]


def refresh() -> None:
    """Read all settings anew; on Wrong the old ones stay in force."""
    global _current, _file
    options = {name: getattr(ctx.options, name) for name in OPTIONS}
    for name in (f"{OPTION}{field}" for field in CONCEALED):
        if options[name] == SHOWN:
            options[name] = _secrets.get(name)
        elif options[name]:
            _secrets[name] = options[name]
    place = options[f"{OPTION}config"] or os.environ.get(f"{ENV}CONFIG", "")
    file = File.read(place.strip(), IN_FILE)
    _current, _file = read(options, os.environ, file), file


def take(options: Any) -> tuple[dict[str, str], list[str]]:
    """Our options from the command line and from config.yaml, as text, and what is wrong with them.

    They wait in `deferred` until somebody declares them. mitmproxy would drop unknown ones silently
    and stop loading this script, but not itself, over a number in config.yaml."""
    given: dict[str, str] = {}
    waiting = [name for name in options.deferred if name.startswith(OPTION)]
    faults = list(unknown(waiting, OPTIONS))
    for name in waiting:
        value = options.deferred.pop(name)
        if isinstance(texts := getattr(value, "val", None), list):  # --set: one text for each
            if len(texts) > 1:
                faults.append(f"{name} is set {len(texts)} times: set it once")
            value = texts[0] if texts else None
        if name in OPTIONS and value is not None:
            given[name] = plain(value)
    return given, faults


def plain(value: Any) -> str:
    """What YAML made of an option, as one would have written it after --set."""
    if isinstance(value, list):
        return ",".join(plain(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def change(**values: Any) -> None:
    options: Any = ctx.options  # untyped in mitmproxy
    options.update(**values)


def chosen(name: str) -> bool:
    """Whether the user set this option of mitmproxy's, be it to mitmproxy's own default; also where
    the tool has no such option."""
    option = ctx.options._options.get(name)
    return option is None or option.value is not optmanager.unset
