"""Options and environment → the `Settings` in force; mitmproxy's own options as the relay needs
them; the listener of `relay_port`."""

import asyncio
import logging
import os
import re
import socket
from typing import Any, Optional

from mitmproxy import ctx, optmanager
from mitmproxy.addonmanager import Loader
from mitmproxy.exceptions import OptionsError

from addons.settings import ENV, FIELDS, OPTION, OPTIONS, VARIABLES, Settings, Wrong, read, unknown

# Interception without contact to OpenAI, and one upstream connection for each exchange.
DEFAULTS = {"http2": False, "connection_strategy": "lazy", "upstream_cert": False}

# A body that mitmproxy streams has gone to where the client sent it before anybody could read it.
UNREAD = "stream_large_bodies is set: the relay must read requests before they go on; remove it"

_current = Settings.model_validate({})


def settings() -> Settings:
    """The settings in force."""
    return _current


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
    active = False  # listeners may be added
    mode = ""  # the listener that was added

    def load(self, loader: Loader) -> None:
        given, faults = take(ctx.options)
        declare(loader)
        change(**given, **{k: v for k, v in DEFAULTS.items() if not chosen(k)})
        for line in unknown((name for name in os.environ if name.startswith(ENV)), VARIABLES):
            logging.warning(line)
        try:
            refresh()
        except Wrong as wrong:
            faults.extend(wrong.args)
        if ctx.options.stream_large_bodies:
            faults.append(UNREAD)
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
        if self.active and f"{OPTION}port" in updated:
            asyncio.get_running_loop().call_soon(self.listen)

    def running(self) -> None:
        self.active = True
        self.listen()

    def listen(self) -> None:
        """Listen on `relay_port` too, unless mitmproxy does; and no more on the last one."""
        addons: Any = ctx.master.addons
        port, modes = _current.port, [mode for mode in ctx.options.mode if mode != self.mode]
        mode = f"regular@127.0.0.1:{port}" if port else ""
        if mode == self.mode:
            return
        if any(address[1] == port for address in addons.get("proxyserver").listen_addrs()):
            mode = ""
        elif port and not free(port):
            return
        self.mode = mode
        change(mode=[*modes, mode] if mode else modes)


def declare(loader: Loader) -> None:
    """None is "not set". All are text, as a bad value of another type is lost without a word."""
    optional: Any = Optional[str]  # noqa: UP045 - mitmproxy compares it with this very form
    for name, field in OPTIONS.items():
        loader.add_option(name, optional, None, FIELDS[field].description or "")


def refresh() -> None:
    """Read all settings anew; on Wrong the old ones stay in force."""
    global _current
    _current = read({name: getattr(ctx.options, name) for name in OPTIONS}, os.environ)


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
    """Whether the user set this option of mitmproxy's, be it to mitmproxy's own default."""
    return ctx.options._options[name].value is not optmanager.unset


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            where = f"127.0.0.1:{port} ({error.strerror})"
            logging.error(f"{OPTION}port: cannot listen on {where}; free it or choose another")
            return False
    return True
