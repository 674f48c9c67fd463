"""The Bearer token of a request, and whose client key it is."""

import base64

import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.test import taddons, tflow

from addons.config.addon import Config
from addons.ingress.client_keys import (
    bearer_token,
    client_key_name,
    is_admin_name,
    note_tunnel_key,
    take_proxy_key,
)


def token_of(*values: bytes) -> str:
    flow = tflow.tflow()
    flow.request.headers.fields = tuple((b"Authorization", value) for value in values)
    return bearer_token(flow)


@pytest.mark.parametrize("value", [b"Bearer abc", b"bearer  abc ", b"BEARER abc"])
def test_one_bearer_token_is_read(value: bytes) -> None:
    assert token_of(value) == "abc"


@pytest.mark.parametrize(
    "values",
    [
        *([], [b""], [b"abc"], [b"Basic abc"], [b"Bearer"], [b"Bearer "]),
        *([b"Bearer a b"], [b"Bearer a,b"], [b'Bearer "a"'], [b"Bearer a", b"Bearer b"]),
    ],
)
def test_anything_else_is_no_token(values: list[bytes]) -> None:
    assert token_of(*values) == ""


def test_key_has_the_name_of_the_settings() -> None:
    config = Config()
    with taddons.context(Proxyserver(), config) as context:
        context.configure(config, relay_client_key="laptop:k-1,k-2")
        assert client_key_name("k-1") == "laptop"
        assert client_key_name("k-2") is not None
        for token in ("", "k-", "k-11", "laptop:k-1", "\udcff"):
            assert client_key_name(token) is None


@pytest.mark.parametrize(
    ("keys", "admins"),
    [
        (None, {"", "laptop", "admin"}),  # this machine's user
        ("k-1", {"", "admin"}),
        ("laptop:k-1", {"admin"}),
        ("laptop:k-1,k-2", {"", "admin"}),
        ("k-1,k-2", {"admin"}),  # which of the two is not clear
        ("laptop:k-1,admin:k-2", {"admin"}),
        ("Admin:k-1,administrator:k-2", {"admin"}),
    ],
)
def test_admin_is_named_so_or_the_only_key_without_a_name(
    keys: str | None, admins: set[str]
) -> None:
    config = Config()
    with taddons.context(Proxyserver(), config) as context:
        context.configure(config, relay_client_key=keys)
        names = ("", "laptop", "admin", "Admin", "administrator")
        assert {name for name in names if is_admin_name(name)} >= admins
        others = {"", "laptop", "Admin", "administrator"} - admins
        assert not keys or not any(map(is_admin_name, others))


def proxied_flow(client: Client, text: str | None = None) -> HTTPFlow:
    """A request of this client, with this user and password for the proxy."""
    flow = tflow.tflow(client_conn=client)
    if text is not None:
        credentials = base64.b64encode(text.encode()).decode()
        flow.request.headers["proxy-authorization"] = f"Basic {credentials}"
    return flow


def test_key_that_comes_by_proxy_is_taken_from_the_request() -> None:
    config = Config()
    with taddons.context(Proxyserver(), config) as context:
        context.configure(config, relay_client_key="laptop:k-1,k-2")
        for text, name in {"relay:k-1": "laptop", "k-2": "", "k-2:": "", ":k-1": "laptop"}.items():
            flow = proxied_flow(tflow.tclient_conn(), text)
            assert take_proxy_key(flow) == name
            assert "proxy-authorization" not in flow.request.headers
        flow = proxied_flow(tflow.tclient_conn(), "user:of-another-proxy")
        assert take_proxy_key(flow) is None
        assert "proxy-authorization" in flow.request.headers


def test_key_of_a_tunnel_lasts_as_long_as_the_setting() -> None:
    config, client = Config(), tflow.tclient_conn()
    with taddons.context(Proxyserver(), config) as context:
        context.configure(config, relay_client_key="laptop:k-1")
        assert not note_tunnel_key(proxied_flow(client, "relay:k-2"))
        assert take_proxy_key(proxied_flow(client)) is None
        assert note_tunnel_key(proxied_flow(client, "relay:k-1"))
        assert take_proxy_key(proxied_flow(client)) == "laptop"
        assert take_proxy_key(proxied_flow(tflow.tclient_conn())) is None
        context.configure(config, relay_client_key="laptop:k-2")
        assert take_proxy_key(proxied_flow(client)) is None
