"""The small pages of the relay's own port."""

import json

from tests.addons.endpoints.calls import (
    answer_with_list,
    get_path,
    relay_client,
)
from tests.addons.proxy import bounded


@bounded
async def test_health_names_the_provider_and_no_secret() -> None:
    async with relay_client(answer_with_list(), relay_api_key="sk-hush") as (client, calls):
        answer = await get_path(client, "/health")
        assert answer.headers["content-type"] == "application/json"
        health = json.loads(answer.body)
        assert health["status"] == "ok"
        assert health["upstream"].startswith("http://127.0.0.1:")
        assert health["provider"] == "generic"
        assert health["version"].count(".") == 2
        assert health["uptime"] >= 0
        assert "hush" not in answer.body.decode()
        head = await get_path(client, "/health", "HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) > 50
        assert (await get_path(client, "/health")).status == 200  # HEAD left nothing behind
    assert calls == []


@bounded
async def test_health_tells_the_upstream_to_holders_of_a_key_only() -> None:
    async with relay_client(answer_with_list(), relay_client_key="laptop:k-1") as (client, _):
        for headers in ({}, {"authorization": "Bearer k-2"}):
            health = json.loads((await get_path(client, "/health", **headers)).body)
            assert health["status"] == "ok" and not {"upstream", "provider"} & health.keys()
        answer = await get_path(client, "/health", authorization="Bearer k-1")
        assert json.loads(answer.body)["upstream"].startswith("http://127.0.0.1:")


@bounded
async def test_index_page_tells_what_the_relay_is() -> None:
    async with relay_client(answer_with_list()) as (client, _):
        answer = await get_path(client, "/", host="localhost:1234")
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"mitmcodex" in answer.body
    assert b"http://localhost:1234/v1" in answer.body
    assert b"GET /health" in answer.body


@bounded
async def test_missing_paths_and_methods_get_errors_in_openais_form() -> None:
    async with relay_client(answer_with_list()) as (client, calls):
        answer = await client.ask("/v1/responses/none/cancelled?token=hush")
        error = json.loads(answer.body)["error"]
        assert answer.status == 404
        assert error["type"] == "invalid_request_error"
        assert error["message"].startswith("POST /v1/responses/none/cancelled: no such path.")
        assert "POST /v1/responses" in error["message"]
        answer = await get_path(client, "/v1/responses", "DELETE")
        assert (answer.status, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert calls == []
