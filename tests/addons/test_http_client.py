import contextlib
import gzip
import ssl

import httpx2
import pytest
from mitmproxy import ctx
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.upstream_auth import UpstreamAuth
from mitmproxy.test import taddons

from addons.http_client import (
    REPLY_LIMIT,
    REQUEST_TIMEOUT,
    client_options,
    tls_context,
    tls_options,
)
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
async def test_proxy_of_mitmproxys_upstream_mode_is_used() -> None:
    async with upstream(lambda call: call.reply(204)) as proxy:
        with taddons.context(Proxyserver(), UpstreamAuth()):
            ctx.options.update(mode=["regular@9", f"upstream:http://127.0.0.1:{proxy.port}"])
            ctx.options.update(upstream_auth="me:pass:word")
            options = client_options()
        async with httpx2.AsyncClient(**options) as client:
            reply = await client.get("http://far.invalid/v1/models")
    assert reply.status_code == 204
    [call] = proxy.seen
    assert call.request_line == "GET http://far.invalid/v1/models HTTP/1.1"
    assert call.headers["proxy-authorization"] == "Basic bWU6cGFzczp3b3Jk"


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


@pytest.mark.parametrize("kind", ["with a length", "in chunks"])
@bounded
async def test_reply_past_its_limit_is_an_error(kind: str) -> None:
    sent = 0

    async def flood(call: Call) -> None:
        nonlocal sent
        if kind == "in chunks":
            call.stream()
        else:
            call.head(200, content_length=str(10 * REPLY_LIMIT))
        with contextlib.suppress(OSError):
            while sent < 10 * REPLY_LIMIT:
                piece = b" " * 50_000
                call.chunks(piece) if kind == "in chunks" else call.writer.write(piece)
                await call.writer.drain()
                sent += len(piece)

    with taddons.context(Proxyserver()):
        options = client_options()
    async with upstream(flood) as server, httpx2.AsyncClient(**options) as client:
        with pytest.raises(httpx2.ReadError, match="8388608 bytes"):
            await client.get(f"http://127.0.0.1:{server.port}/")
    assert sent < 5 * REPLY_LIMIT


@bounded
async def test_compressed_reply_is_an_error() -> None:
    def bomb(call: Call) -> None:
        call.reply(200, gzip.compress(b" " * 1_000_000), content_encoding="gzip")

    with taddons.context(Proxyserver()):
        options = client_options()
    async with upstream(bomb) as server, httpx2.AsyncClient(**options) as client:
        with pytest.raises(httpx2.DecodingError):
            await client.get(f"http://127.0.0.1:{server.port}/")
    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_program_without_mitmproxy_checks_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ctx, "options", raising=False)
    assert tls_options() == (None, False)
    assert client_options()["verify"].verify_mode is ssl.CERT_REQUIRED
