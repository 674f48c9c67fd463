"""The calls that Codex makes in addition to its requests for responses."""

import json

from tests.addons.endpoints.calls import (
    CODEX_CLIENT,
    answer_with_list,
    get_path,
    model_ids,
    relay_client,
)
from tests.addons.proxy import Client, bounded, upstream
from tests.codex.driver import ACCOUNT, unsigned_token

CLAIMS = {"https://api.openai.com/auth": {"chatgpt_account_id": ACCOUNT}}


@bounded
async def test_account_check_answers_with_the_account_of_the_token() -> None:
    path = "/backend-api/wham/accounts/check"
    token = {"authorization": f"Bearer {unsigned_token(CLAIMS)}"}
    async with relay_client(answer_with_list()) as (client, calls):
        for headers in (token, {**token, "chatgpt_account_id": "other"}):
            answer = json.loads((await get_path(client, path, **headers)).body)
            assert answer["default_account_id"] == ACCOUNT
            assert answer["account_ordering"] == [ACCOUNT]
            [account] = answer["accounts"]
            assert account["id"] == ACCOUNT
            assert account["workspace_backend_origin"] == "https://chatgpt.com"
        answer = await get_path(
            client, path, authorization="Bearer x", chatgpt_account_id="by-header"
        )
        assert json.loads(answer.body)["default_account_id"] == "by-header"
        assert (await get_path(client, path)).status == 404
    assert calls == []


@bounded
async def test_websocket_upgrades_are_declined() -> None:
    async with relay_client(answer_with_list()) as (client, _):
        upgrade = {"upgrade": "websocket", "connection": "upgrade", "sec_websocket_version": "13"}
        answer = await get_path(client, "/v1/responses", **upgrade, sec_websocket_key="eA==")
        assert answer.status == 426
        assert (await get_path(client, "/health")).status == 200  # on the same connection


@bounded
async def test_isolation_stops_other_calls_of_codex() -> None:
    async with relay_client(answer_with_list()) as (client, calls):
        port = client.writer.get_extra_info("peername")[1]
        async with Client.connect(port, tunnel="chatgpt.com") as codex:
            headers = {"host": "chatgpt.com", **CODEX_CLIENT}
            answer = await codex.ask("/backend-api/codex/analytics-events/events", b"{}", **headers)
            assert answer.status == 404
            assert b"relay_isolate" in answer.body
    assert calls == []


@bounded
async def test_without_isolation_other_calls_pass() -> None:
    async with upstream(answer_with_list(b"away")) as openai:
        redirect = f"|http://chatgpt.com/|http://127.0.0.1:{openai.port}/"
        settings = {"relay_isolate": "off", "map_remote": [redirect]}
        async with relay_client(answer_with_list(), **settings) as (client, calls):
            target = "http://chatgpt.com/backend-api/wham/usage"
            answer = await get_path(client, target, host="chatgpt.com", **CODEX_CLIENT)
            assert (answer.status, answer.body) == (200, b"away")
            target = "http://chatgpt.com/backend-api/codex/models"
            other_headers = {"host": "chatgpt.com", "user_agent": "another program"}
            assert (await get_path(client, target, **other_headers)).body == b"away"
            codex_answer = await get_path(client, target, host="chatgpt.com", **CODEX_CLIENT)
            assert model_ids(codex_answer) == ["a", "b", "tts-1"]
        assert len(calls) == 1
        assert len(openai.seen) == 2
