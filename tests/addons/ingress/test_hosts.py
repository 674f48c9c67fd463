"""Which hosts are trusted: those of this machine and of the settings."""

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.config.addon import Config
from addons.ingress.hosts import is_loopback_address, is_trusted_host, url_host


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Localhost:3000/a", "localhost"),
        ("//[::1]:80", "::1"),
        ("//relay.lan", "relay.lan"),
        *(("null", ""), ("", ""), ("http://[", "")),
    ],
)
def test_host_of_a_url(url: str, host: str) -> None:
    assert url_host(url) == host


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback_addresses(address: str) -> None:
    assert is_loopback_address(address)


@pytest.mark.parametrize("address", ["192.168.1.9", "::ffff:192.168.1.9", "fe80::1%eth0", "x", ""])
def test_other_addresses(address: str) -> None:
    assert not is_loopback_address(address)


def test_trusted_hosts_are_this_machine_and_those_of_the_settings() -> None:
    config = Config()
    with taddons.context(Proxyserver(), config) as context:
        context.configure(config, relay_hosts="relay.lan")
        for host in ("localhost", "x.localhost", "127.0.0.1", "relay.lan"):
            assert is_trusted_host(host), host
        for host in ("", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example"):
            assert not is_trusted_host(host), host
