import ssl

import httpx2
import pytest
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.http_client import REQUEST_TIMEOUT, client_options, tls_context
from addons.identity import USER_AGENT
from tests.addons.proxy import Call, bounded, confdir, upstream


@bounded
async def test_request_names_the_relay_and_follows_no_redirect() -> None:
    def redirect(call: Call) -> None:
        call.reply(302, location="http://elsewhere.test/")

    with taddons.context(Proxyserver()):
        options = client_options()
    async with upstream(redirect) as server, httpx2.AsyncClient(**options) as client:
        reply = await client.get(f"http://127.0.0.1:{server.port}/")
    assert reply.status_code == 302
    assert server.seen[0].headers["user-agent"] == USER_AGENT


@bounded
async def test_proxy_of_the_environment_is_not_used() -> None:
    with pytest.MonkeyPatch.context() as patch, taddons.context(Proxyserver()):
        patch.setenv("http_proxy", "http://127.0.0.1:9")
        start = upstream(lambda call: call.reply(204))
        async with start as server, httpx2.AsyncClient(**client_options()) as client:
            reply = await client.get(f"http://127.0.0.1:{server.port}/")
    assert reply.status_code == 204


@bounded
async def test_timeout_is_the_callers() -> None:
    with taddons.context(Proxyserver()):
        assert client_options()["timeout"] == REQUEST_TIMEOUT
        assert client_options(1.5)["timeout"] == 1.5


def test_certificates_are_checked_unless_mitmproxy_is_insecure() -> None:
    strict, insecure = tls_context(None, False), tls_context(None, True)
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert (insecure.verify_mode, insecure.check_hostname) == (ssl.CERT_NONE, False)
    assert tls_context(None, False) is strict


def test_authorities_of_mitmproxys_option_are_trusted() -> None:
    context = tls_context(str(confdir() / "mitmproxy-ca-cert.pem"), False)
    [authority] = context.get_ca_certs()
    assert ((("commonName", "mitmproxy"),)) in authority["subject"]
