"""The environment that a relay is started with. Its settings go there, as lists of processes show
arguments to all users."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from addons.config import VARIABLE_PREFIX
from addons.identity import MARK_VARIABLE, PARENT_VARIABLE, WEB_PAGE_VARIABLE
from addons.relay_health import LOOPBACK_HOSTS

OWN_VARIABLES = (MARK_VARIABLE, PARENT_VARIABLE, WEB_PAGE_VARIABLE)  # of another relay
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PROVIDER, UPSTREAM, MODEL, API_KEY = (
    f"{VARIABLE_PREFIX}{name}" for name in ("PROVIDER", "UPSTREAM", "MODEL", "API_KEY")
)


def provider_variables(
    provider: str, upstream: str, model: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """The variables for these three options of the command line, "" for one that is not set.

    With another provider, the configured URL, key and model no longer count: they belong to the
    configured one. A key in the environment stays if the environment names no provider: it is for
    this one."""
    model_variable = {MODEL: model} if model else {}
    if not (provider or upstream):
        return model_variable
    names_provider = any(environment.get(name) for name in (PROVIDER, UPSTREAM))
    key = "" if names_provider else environment.get(API_KEY, "")
    return {PROVIDER: provider, UPSTREAM: upstream, API_KEY: key, MODEL: model}


def relay_environment(environment: Mapping[str, str], port: int) -> dict[str, str]:
    """The environment without what would make the relay its own proxy, or the child of another."""
    return {
        name: value
        for name, value in environment.items()
        if name not in OWN_VARIABLES and not is_own_proxy(name, value, port)
    }


def is_own_proxy(name: str, value: str, port: int) -> bool:
    """Whether this variable makes a relay on this port the proxy of all programs."""
    if name.upper() not in PROXY_VARIABLES:
        return False
    try:
        url = urlsplit(value if "://" in value else f"//{value}")
        return url.hostname in LOOPBACK_HOSTS and url.port == port
    except ValueError:  # no URL
        return False
