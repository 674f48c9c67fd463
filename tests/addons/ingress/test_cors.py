"""Pages in a browser that are clients: of this machine, or of a host that the user named."""

import pytest

from addons.ingress.cors import Cors
from tests.addons.exchange.test_chat_clients import HELLO, ask, relay
from tests.addons.proxy import Answer, Client, bounded

OURS, NAMED, FOREIGN = "http://localhost:3000", "https://chat.lan", "https://evil.example"
KEY = {"relay_client_key": "k-1", "relay_hosts": "chat.lan"}


async def preflight(port: int, path: str, origin: str) -> Answer:
    asked = {
        "origin": origin,
        "access_control_request_method": "POST",
        "access_control_request_headers": "authorization,content-type",
    }
    async with Client.connect(port) as client:
        client.send(path, b"", method="OPTIONS", **asked)
        await client.head()
        return client.answer


@pytest.mark.parametrize("origin", [OURS, NAMED])
@bounded
async def test_a_page_of_the_users_own_may_ask(origin: str) -> None:
    async with relay(HELLO, more=[Cors()], **KEY) as (port, _):
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/models", "/v1/models/m"):
            allowed = (await preflight(port, path, origin)).headers
            assert allowed["access-control-allow-origin"] == origin
            assert "POST" in allowed["access-control-allow-methods"]
            assert allowed["access-control-allow-headers"] == "authorization,content-type"
        for stream in (False, True):
            answer = await ask(port, authorization="Bearer k-1", origin=origin, stream=stream)
            assert answer.status == 200
            assert answer.headers["access-control-allow-origin"] == origin
            assert "x-relay-dropped" in answer.headers["access-control-expose-headers"]


@bounded
async def test_a_refusal_can_be_read_too() -> None:
    async with relay(HELLO, more=[Cors()], **KEY) as (port, _):
        answer = await ask(port, origin=OURS)
    assert answer.status == 401 and answer.headers["access-control-allow-origin"] == OURS


@bounded
async def test_other_pages_and_other_paths_get_nothing() -> None:
    async with relay(HELLO, more=[Cors()], **KEY) as (port, above):
        for path, origin in (
            ("/v1/chat/completions", FOREIGN),
            ("/v1/chat/completions", "null"),
            ("/auth/accounts", OURS),
            ("/metrics", OURS),
        ):
            answer = await preflight(port, path, origin)
            assert answer.status >= 400
            assert "access-control-allow-origin" not in answer.headers
        assert above.seen == []
        plain = await ask(port, authorization="Bearer k-1")
    assert "access-control-allow-origin" not in plain.headers
