"""The table of checks, in the order of the report."""

from collections.abc import Callable, Iterator

from .codex_checks import check_codex, check_config, check_daemon
from .context import DoctorContext
from .environment_checks import check_ca_variables, check_http_proxy, check_https_proxy
from .finding import DoctorFinding, warning
from .install_checks import check_mitmproxy, check_python
from .relay_checks import (
    check_authority,
    check_handshake,
    check_ports,
    check_relay,
    check_relay_settings,
    check_settings,
)
from .upstream_checks import check_key, check_model, check_provider, live_findings

type Check = Callable[[DoctorContext], DoctorFinding | None]  # None: there is nothing to look at

CHECKS: dict[str, Check] = {
    "Python": check_python,
    "mitmproxy": check_mitmproxy,
    "settings": check_settings,
    "relay": check_relay,
    "relay settings": check_relay_settings,
    "ports": check_ports,
    "certificate authority": check_authority,
    "interception": check_handshake,
    "HTTPS_PROXY": check_https_proxy,
    "HTTP_PROXY": check_http_proxy,
    "CODEX_CA_CERTIFICATE": check_ca_variables,
    "Codex": check_codex,
    "Codex's background process": check_daemon,
    "config.toml": check_config,
    "provider": check_provider,
    "key": check_key,
    "model": check_model,
}


def examine(context: DoctorContext, announce: Callable[[str], None]) -> Iterator[DoctorFinding]:
    """All findings, each as soon as it is known. `announce` gets the name of what is looked at."""
    for name, check in CHECKS.items():
        announce(name)
        try:
            finding = check(context)
        except Exception as error:  # one check that breaks must not hide the others
            finding = warning(name, f"this check itself failed: {error!r}", "please report that")
        if finding:
            yield finding
    announce("the provider, with small requests")
    yield from live_findings(context)
