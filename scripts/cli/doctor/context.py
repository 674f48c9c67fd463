"""What the checks look at. Costly facts are found when a check first asks for them."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from addons.routing import Target, UpstreamCheck, check_target

from ..codex_config.edits import NotUnderstood, parse_config
from ..codex_config.home import codex_home, read_config
from ..errors import CommandFailed
from ..running_relay import RunningRelay, find_own_relay, find_running_relay
from ..user_settings import UserSettings, load_user_settings
from ..user_target import DEMO, user_target

CA_FILE_NAME = "mitmproxy-ca-cert.pem"


@dataclass(frozen=True)
class DoctorContext:
    environment: Mapping[str, str] = field(repr=False)
    relay: RunningRelay | None
    user: UserSettings | None  # None if they cannot be read, for the reason in `settings_fault`
    settings_fault: str = ""
    is_offline: bool = False  # the provider is asked nothing

    @property
    def ca_file(self) -> Path:
        """The certificate of mitmproxy's own authority."""
        return Path.home() / ".mitmproxy" / CA_FILE_NAME

    @property
    def config_path(self) -> Path:
        return codex_home(self.environment) / "config.toml"

    @cached_property
    def codex_config(self) -> dict[str, Any]:
        """Codex's config.toml; {} if there is none. Raises NotUnderstood, CommandFailed."""
        return parse_config(read_config(self.config_path) or "")

    @cached_property
    def readable_config(self) -> dict[str, Any]:
        """The same; {} for a file that cannot be read, as another check says."""
        try:
            return self.codex_config
        except (NotUnderstood, CommandFailed):
            return {}

    @cached_property
    def target(self) -> Target | None:
        """Where requests go; None if that cannot be told."""
        try:
            return user_target(self.user) if self.user else None
        except CommandFailed:
            return None

    @property
    def asked_target(self) -> Target | None:
        """The target, if it is a provider that can be asked now."""
        target = self.target
        is_provider = target and target.provider.name != DEMO and not target.provider.accounts
        return target if is_provider and not self.is_offline else None

    @cached_property
    def upstream_check(self) -> UpstreamCheck | None:
        """What the provider answers; None if it is not asked."""
        return asyncio.run(check_target(self.asked_target)) if self.asked_target else None

    def is_relay_port(self, port: int) -> bool:
        """Whether a relay of this user answers on this port of this machine."""
        return bool(self.relay and self.relay.port == port) or find_own_relay(port) is not None


def find_context(*, port: int | None = None, is_offline: bool = False) -> DoctorContext:
    """The state of this machine, as this shell sees it. Never raises."""
    user, fault = None, ""
    try:
        user = load_user_settings()
    except CommandFailed as failure:
        fault = failure.message
    return DoctorContext(dict(os.environ), find_running_relay(port), user, fault, is_offline)
