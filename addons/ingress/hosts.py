"""Which host names and addresses are trusted: those of this machine and of `relay_hosts`."""

from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from addons.config import current_settings


def url_host(url: str) -> str:
    """The host of a URL; "" if it has none or is not a URL."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_trusted_host(host: str) -> bool:
    return (
        host == "localhost"
        or host.endswith(".localhost")
        or is_loopback_address(host)
        or host in current_settings().hosts
    )


def is_loopback_address(address: str) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback
