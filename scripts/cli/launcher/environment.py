"""The variables with which a program reaches the relay. Pure."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from addons.relay_health import LOOPBACK, LOOPBACK_HOSTS

PROXY_VARIABLES = "HTTPS_PROXY", "https_proxy"
BYPASS_VARIABLES = "NO_PROXY", "no_proxy"
RELAYED_HOSTS = "api.openai.com", "chatgpt.com"
# OpenSSL and Python, requests, curl. They take the file instead of the system's authorities.
BUNDLE_VARIABLES = "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"
CODEX_CA_VARIABLE = "CODEX_CA_CERTIFICATE"
NODE_CA_VARIABLE = "NODE_EXTRA_CA_CERTS"  # in addition to Node's own authorities
NO_KEY = "none"  # clients of OpenAI's SDK refuse to start without a key


def proxy_url(port: int, key: str) -> str:
    """The URL of the relay as a proxy. `key`: of a relay that asks for one."""
    user = f"relay:{quote(key, safe='')}@" if key else ""
    return f"http://{user}{LOOPBACK}:{port}"


def proxy_environment(inherited: Mapping[str, str], url: str) -> dict[str, str]:
    """The variables with the relay as the proxy. ALL_PROXY and HTTP_PROXY stay as they are: with
    HTTPS_PROXY, they apply to plain HTTP only."""
    bypass = bypass_list(inherited)
    return {
        **inherited,
        **dict.fromkeys(PROXY_VARIABLES, url),
        **dict.fromkeys(BYPASS_VARIABLES, bypass),
    }


def base_url_environment(inherited: Mapping[str, str], port: int, key: str) -> dict[str, str]:
    """The variables with which OpenAI's SDKs use the relay. The user's own key of OpenAI is
    replaced, so that it reaches no provider."""
    base_url = f"http://{LOOPBACK}:{port}/v1"
    return {
        **inherited,
        **dict.fromkeys(BYPASS_VARIABLES, bypass_list(inherited)),
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API_BASE": base_url,
        "OPENAI_API_KEY": key or NO_KEY,
    }


def bypass_list(inherited: Mapping[str, str]) -> str:
    """The hosts that no proxy is used for: this machine, and the user's own but the relayed."""
    texts = [inherited.get(name, "") for name in BYPASS_VARIABLES]
    hosts = [host.strip() for text in texts for host in text.split(",")]
    own = [host for host in hosts if host and not covers_relayed_host(host)]
    return ",".join(dict.fromkeys([*LOOPBACK_HOSTS, *own]))


def covers_relayed_host(entry: str) -> bool:
    """Whether with this entry of NO_PROXY a program would go past the relay."""
    domain = entry.lower().removeprefix("*").partition(":")[0].strip(".")
    return not domain or any(f".{host}".endswith(f".{domain}") for host in RELAYED_HOSTS)


def foreign_proxy(inherited: Mapping[str, str], port: int) -> str:
    """Host and port of another proxy than the relay that HTTPS_PROXY names; "" if there is none."""
    for name in PROXY_VARIABLES:
        text = inherited.get(name, "").strip()
        try:
            address = urlsplit(text if "://" in text else f"http://{text}")
            place = f"{address.hostname}:{address.port}" if address.port else str(address.hostname)
        except ValueError:
            continue
        if text and place not in {f"{host}:{port}" for host in LOOPBACK_HOSTS}:
            return place
    return ""


def authority_environment(
    inherited: Mapping[str, str], ca_file: Path, bundle: Path
) -> dict[str, str]:
    """The variables with which programs accept the relay's certificates. `bundle`: the relay's
    authority with all others."""
    names = *BUNDLE_VARIABLES, CODEX_CA_VARIABLE
    node_file = bundle if inherited.get(NODE_CA_VARIABLE) else ca_file
    return {
        **inherited,
        **dict.fromkeys(names, str(bundle)),
        NODE_CA_VARIABLE: str(node_file),
    }
