"""Chat clients served by an account, through the strict backend."""

import asyncio
import json
from pathlib import Path

import pytest

from addons.accounts import addon
from tests import fake_provider
from tests.addons.accounts.pool_harness import wait_until
from tests.addons.gateway import CHAT, HI, gateway
from tests.addons.proxy import Answer, bounded
from tests.fake_auth import make_user
from tests.fake_backend import burst_error, overload_event, usage_limit
from tests.replies import Error, call, say, think
from tests.translate.support import Json, chunks_of

ADA, BOB = make_user("ada"), make_user("bob")


def message(answer: Answer) -> Json:
    assert answer.status == 200, answer.body
    reply: Json = json.loads(answer.body)
    chat_message: Json = reply["choices"][0]["message"]
    return chat_message


def error(answer: Answer) -> Json:
    reply: Json = json.loads(answer.body)
    fields: Json = reply["error"]
    return fields


@bounded
async def test_account_answers_a_chat_client(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        answer = await relay.chat(temperature=0.5)
        [turn] = relay.backend.responses_requests
    assert message(answer)["content"] == "Hello"
    assert message(answer)["reasoning_content"] == "Hm."
    assert answer.headers["x-relay-provider"] == "chatgpt"
    assert answer.headers["x-relay-dropped"] == "temperature"
    assert turn.headers["originator"] == "mitmcodex"
    assert turn.headers["user-agent"].startswith("mitmcodex/")
    assert turn.headers["chatgpt-account-id"] == ADA.workspace
    assert "set-cookie" not in answer.headers


@bounded
async def test_account_streams_to_a_chat_client(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(say("Hello"), call("ls", path="."))
        tools = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
        answer = await relay.chat(stream=True, tools=tools)
    chunks = [chunk for chunk in chunks_of(answer.body) if chunk.get("choices")]
    finish = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert finish[-1] == "tool_calls" and answer.body.endswith(b"data: [DONE]\n\n")


@bounded
async def test_cookies_go_back_to_the_service(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        for _ in range(2):
            relay.backend.reply(say("Hello"))
            await relay.chat()
        first, second = relay.backend.responses_requests
    assert "cookie" not in first.headers and "__cf_bm" in second.headers["cookie"]


@bounded
async def test_error_says_how_to_log_in(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        answer = await relay.chat("chatgpt/gpt-5.5")
    assert (answer.status, error(answer)["code"]) == (401, "no_account")
    assert "/auth/login" in error(answer)["message"]


@bounded
async def test_request_that_waits_during_a_reload_gets_an_error(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.auth.delay = 0.5
        old = relay.auth.issue_tokens(ADA, lifetime=0.01)
        await asyncio.sleep(0.05)
        await addon.account_pool().add_login(old)
        task = asyncio.create_task(relay.chat())
        await wait_until(lambda: relay.auth.token_requests)
        relay.master.addons.get("accounts").done()
        answer = await task
    assert (answer.status, error(answer)["code"]) == (503, "login_unreachable")
    assert "reloaded" in error(answer)["message"]


@pytest.mark.parametrize(
    ("requested", "model", "effort", "tier"),
    [
        ("gpt-5.5", "gpt-5.5", None, None),
        ("chatgpt/gpt-5.5-high", "gpt-5.5", "high", None),
        ("gpt-5.5-low-fast", "gpt-5.5", "low", "priority"),
        ("codex", "gpt-6.1-sol", None, None),
        ("codex-xhigh", "gpt-6.1-sol", "xhigh", None),
    ],
)
@bounded
async def test_model_name_may_ask_for_effort_and_tier(
    tmp_path_factory: pytest.TempPathFactory,
    requested: str,
    model: str,
    effort: str | None,
    tier: str | None,
) -> None:
    async with gateway(tmp_path_factory.mktemp("a"), ADA) as relay:
        relay.backend.reply(say("Hello"))
        answer = await relay.chat(requested)
        [turn] = relay.backend.responses_requests
    assert json.loads(answer.body)["model"] == requested
    assert turn.body["model"] == model
    assert turn.body["reasoning"].get("effort") == effort
    assert turn.body.get("service_tier") == tier


@bounded
async def test_model_list_is_that_of_the_account(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        models = json.loads((await relay.get("/v1/models")).body)["data"]
        single = await relay.get("/v1/models/gpt-5.5")
    assert [model["id"] for model in models] == ["gpt-5.5", "gpt-6.1-sol"]  # and no hidden one
    assert single.status == 200


@pytest.mark.parametrize("name", ["gpt-5.5-high-fast", "codex", "chatgpt%2Fgpt-5.5"])
@bounded
async def test_model_is_found_by_each_of_its_names(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    async with gateway(tmp_path_factory.mktemp("a"), ADA) as relay:
        answer = await relay.get(f"/models/{name}")
    assert (answer.status, json.loads(answer.body)["id"]) == (200, name.replace("%2F", "/"))


@bounded
async def test_models_of_account_and_provider_are_listed_together(tmp_path: Path) -> None:
    with fake_provider.running_provider() as provider:
        options = {"relay_upstream": provider.url, "relay_api_key": provider.key}
        async with gateway(tmp_path, ADA, **options) as relay:
            models = json.loads((await relay.get("/v1/models")).body)["data"]
    names = [model["id"] for model in models]
    assert names == [*provider.models, "chatgpt/gpt-5.5", "chatgpt/gpt-6.1-sol"]


@bounded
async def test_responses_body_at_the_chat_endpoint_gets_a_chat_reply(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        answer = await relay.post(CHAT, {"model": "gpt-5.5", "input": HI})
    assert message(answer)["content"] == "Hello"


@bounded
async def test_invalid_value_of_one_client_does_not_affect_others(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        refusal = await relay.chat(service_tier="scale")
        relay.backend.refusals.clear()
        relay.backend.reply(say("Hello"))
        await relay.chat("gpt-5.5-fast")
        body = relay.backend.responses_requests[-1].body
    assert refusal.status == 400 and "service_tier: scale" in error(refusal)["message"]
    assert body["service_tier"] == "priority"


@bounded
async def test_account_answers_a_responses_client(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        answer = await relay.post("/v1/responses", {"model": "gpt-5.5", "input": "Hi"})
    output = json.loads(answer.body)["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]


@bounded
async def test_chat_conversation_keeps_its_reasoning(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Look."), call("ls", path="."))
        reply = message(await relay.chat(tools=tools))
        # Without its reasoning, as most Chat clients send it back.
        sent_back = {name: reply[name] for name in ("role", "content", "tool_calls")}
        call_id = reply["tool_calls"][0]["id"]
        output = {"role": "tool", "tool_call_id": call_id, "content": "a.txt"}
        relay.backend.reply(say("Done"))
        await relay.chat(tools=tools, messages=[*HI, sent_back, output])
        first, second = relay.backend.responses_requests
    types = [item["type"] for item in second.items]
    assert types == ["message", "reasoning", "function_call", "function_call_output"]
    assert first.body["prompt_cache_key"] == second.body["prompt_cache_key"]


@bounded
async def test_overload_at_the_start_of_a_stream_is_retried(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(overload_event())
        relay.backend.reply(say("Hello"))
        answer = await relay.chat(stream=True)
        assert len(relay.backend.responses_requests) == 2
    assert b"Hel" in answer.body and b"overloaded" not in answer.body


@bounded
async def test_burst_is_retried(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(burst_error())
        relay.backend.reply(say("Hello"))
        answer = await relay.chat()
    assert message(answer)["content"] == "Hello"


@bounded
async def test_usage_limit_is_reported_and_remembered(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(usage_limit(resets_in=600))
        first = await relay.chat()
        second = await relay.post("/v1/responses", {"model": "gpt-5.5", "input": "Hi"})
        assert len(relay.backend.responses_requests) == 1
        [account] = json.loads((await relay.get("/auth/accounts")).body)["accounts"]
    for answer in (first, second):
        assert answer.status == 429 and error(answer)["type"] == "usage_limit_reached"
        assert 590 <= error(answer)["resets_in_seconds"] <= 600
    assert (account["state"], account["reason"]) == ("limited", "usage_limit_reached")


@bounded
async def test_failover_uses_another_account(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB, relay_account_failover="on") as relay:
        relay.backend.fixed_replies[ADA.workspace] = usage_limit()
        relay.backend.reply(say("Hello"))
        answer = await relay.chat()
        accounts = [turn.headers["chatgpt-account-id"] for turn in relay.backend.responses_requests]
    assert message(answer)["content"] == "Hello"
    assert accounts == [ADA.workspace, BOB.workspace]


@bounded
async def test_refused_login_is_renewed_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        [token] = relay.auth.access_tokens
        relay.auth.revoke_access_token(token)
        relay.backend.reply(say("Hello"))
        answer = await relay.chat()
    assert message(answer)["content"] == "Hello"
    assert relay.auth.refreshes == 1


@bounded
async def test_identity_page_shows_no_secret(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        answer = await relay.get("/debug/identity")
        [token] = relay.auth.access_tokens
    [request] = json.loads(answer.body)["requests"]
    assert request["headers"]["originator"] == "mitmcodex"
    assert request["headers"]["authorization"] == "Bearer (hidden)"
    assert token not in answer.body.decode() and ADA.workspace not in answer.body.decode()


@bounded
async def test_lesson_from_a_refusal_counts_for_all_accounts(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        refusal = Error(400, b'{"detail": "Unsupported parameter: service_tier"}')
        relay.backend.reply(refusal)
        relay.backend.reply(say("Hello"))
        await relay.chat(service_tier="priority")
        await relay.post("/auth/select", {"id": addon.account_summaries()[1].id})
        relay.backend.reply(say("Hello"))
        await relay.chat(service_tier="priority")
        turns = relay.backend.responses_requests
    assert ["service_tier" in turn.body for turn in turns] == [True, False, False]
    assert turns[2].headers["chatgpt-account-id"] == BOB.workspace


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_access_token_that_the_service_repeats_is_masked(
    tmp_path: Path, stream: bool
) -> None:
    async with gateway(tmp_path, ADA) as relay:
        [token] = relay.auth.access_tokens
        relay.backend.reply(say("Hi."), call("ls", id=token))
        tools = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
        answer = await relay.chat(stream=stream, tools=tools)
    assert token not in answer.body.decode() and "(hidden)" in answer.body.decode()
