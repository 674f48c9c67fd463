"""Which web pages may call the relay: those of this machine, and of hosts that the user named."""

import pytest

from tests.addons.exchange.test_chat_clients import HELLO, ask, relay
from tests.addons.proxy import Answer, Call, Client, bounded

OWN_PAGE, NAMED_PAGE, FOREIGN_PAGE = (
    "http://localhost:3000",
    "https://chat.lan",
    "https://evil.example",
)
SETTINGS = {"relay_client_key": "k-1", "relay_hosts": "chat.lan"}


async def preflight(port: int, path: str, origin: str) -> Answer:
    headers = {
        "origin": origin,
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization,content-type",
    }
    async with Client.connect(port) as client:
        client.send(path, b"", method="OPTIONS", **headers)
        await client.head()
        return client.answer


@pytest.mark.parametrize("origin", [OWN_PAGE, NAMED_PAGE])
@bounded
async def test_trusted_pages_may_call_the_model_routes(origin: str) -> None:
    async with relay(HELLO, **SETTINGS) as (port, _):
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/models", "/v1/models/m"):
            headers = (await preflight(port, path, origin)).headers
            assert headers["access-control-allow-origin"] == origin
            assert "POST" in headers["access-control-allow-methods"]
            assert headers["access-control-allow-headers"] == "authorization,content-type"
        for stream in (False, True):
            answer = await ask(port, authorization="Bearer k-1", origin=origin, stream=stream)
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == origin
            assert "x-relay-dropped" in answer.headers["access-control-expose-headers"]


@bounded
async def test_trusted_pages_may_read_refusals() -> None:
    async with relay(HELLO, **SETTINGS) as (port, _):
        answer = await ask(port, origin=OWN_PAGE)
    assert answer.status == 401 and answer.headers["access-control-allow-origin"] == OWN_PAGE


@pytest.mark.parametrize("stream", [False, True])
@bounded
async def test_trusted_pages_may_read_that_the_upstream_is_unreachable(stream: bool) -> None:
    async with relay(Call.reset, relay_retries="0") as (port, _):
        answer = await ask(port, origin=OWN_PAGE, stream=stream)
    assert answer.status == 502
    assert answer.headers["access-control-allow-origin"] == OWN_PAGE
    assert answer.headers["x-relay-provider"] == "generic"


@bounded
async def test_other_pages_and_other_paths_get_no_cors_headers() -> None:
    async with relay(HELLO, **SETTINGS) as (port, server):
        for path, origin in (
            ("/v1/chat/completions", FOREIGN_PAGE),
            ("/v1/chat/completions", "null"),
            ("/auth/accounts", OWN_PAGE),
            ("/metrics", OWN_PAGE),
        ):
            answer = await preflight(port, path, origin)
            assert answer.status >= 400
            assert "access-control-allow-origin" not in answer.headers
        assert server.seen == []
        answer_to_program = await ask(port, authorization="Bearer k-1")
    assert "access-control-allow-origin" not in answer_to_program.headers
