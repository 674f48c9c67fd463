"""Chat clients on an account: by the model's name, through the strict backend."""

import asyncio
import json
from pathlib import Path

import pytest

from addons.accounts import addon
from tests import fake_provider
from tests.addons.gateway import CHAT, HI, gateway
from tests.addons.proxy import Answer, bounded
from tests.fake_auth import person
from tests.fake_backend import burst, overloaded, usage_limit
from tests.replies import Error, call, say, think
from tests.translate.support import Json, chunks_of

ADA, BOB = person("ada"), person("bob")


def message(answer: Answer) -> Json:
    assert answer.status == 200, answer.body
    made: Json = json.loads(answer.body)["choices"][0]["message"]
    return made


def error(answer: Answer) -> Json:
    made: Json = json.loads(answer.body)["error"]
    return made


@bounded
async def test_an_account_answers_chat(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        answer = await relay.chat(temperature=0.5)
        [asked] = relay.backend.turns
    assert message(answer)["content"] == "Hello"
    assert message(answer)["reasoning_content"] == "Hm."
    assert answer.headers["x-relay-provider"] == "chatgpt"
    assert answer.headers["x-relay-dropped"] == "temperature"
    assert asked.headers["originator"] == "codex-relay"
    assert asked.headers["user-agent"].startswith("codex-relay/")
    assert asked.headers["chatgpt-account-id"] == ADA.workspace
    assert "set-cookie" not in answer.headers


@bounded
async def test_an_account_streams(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(say("Hello"), call("ls", path="."))
        tools = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
        answer = await relay.chat(stream=True, tools=tools)
    chunks = [chunk for chunk in chunks_of(answer.body) if chunk.get("choices")]
    finish = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert finish[-1] == "tool_calls" and answer.body.endswith(b"data: [DONE]\n\n")


@bounded
async def test_cookies_of_the_service_come_back_to_it(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        for _ in range(2):
            relay.backend.reply(say("Hello"))
            await relay.chat()
        first, second = relay.backend.turns
    assert "cookie" not in first.headers and "__cf_bm" in second.headers["cookie"]


@bounded
async def test_who_is_not_logged_in_is_told_how(tmp_path: Path) -> None:
    async with gateway(tmp_path) as relay:
        answer = await relay.chat("chatgpt/gpt-5.5")
    assert (answer.status, error(answer)["code"]) == (401, "no_account")
    assert "/auth/login" in error(answer)["message"]


@bounded
async def test_who_waits_while_the_relay_is_read_anew_is_told_so(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.auth.delay = 0.5
        old = relay.auth.give(ADA, lifetime=0.01)
        await asyncio.sleep(0.05)
        await addon.pool().add(old)
        waiting = asyncio.create_task(relay.chat())
        async with asyncio.timeout(5):
            while not relay.auth.asked:
                await asyncio.sleep(0.01)
        relay.master.addons.get("accounts").done()
        answer = await waiting
    assert (answer.status, error(answer)["code"]) == (503, "login_unreachable")
    assert "read anew" in error(answer)["message"]


@pytest.mark.parametrize(
    ("asked", "model", "effort", "tier"),
    [
        ("gpt-5.5", "gpt-5.5", None, None),
        ("chatgpt/gpt-5.5-high", "gpt-5.5", "high", None),
        ("gpt-5.5-low-fast", "gpt-5.5", "low", "priority"),
        ("codex", "gpt-6.1-sol", None, None),
        ("codex-xhigh", "gpt-6.1-sol", "xhigh", None),
    ],
)
@bounded
async def test_names_of_models(
    tmp_path_factory: pytest.TempPathFactory,
    asked: str,
    model: str,
    effort: str | None,
    tier: str | None,
) -> None:
    async with gateway(tmp_path_factory.mktemp("a"), ADA) as relay:
        relay.backend.reply(say("Hello"))
        answer = await relay.chat(asked)
        [turn] = relay.backend.turns
    assert json.loads(answer.body)["model"] == asked  # the client's own name
    assert turn.body["model"] == model
    assert turn.body["reasoning"].get("effort") == effort
    assert turn.body.get("service_tier") == tier


@bounded
async def test_models_are_the_accounts(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        listed = json.loads((await relay.get("/v1/models")).body)
        one = await relay.get("/v1/models/gpt-5.5")
    assert [entry["id"] for entry in listed["data"]] == ["gpt-5.5", "gpt-6.1-sol"]  # not "hidden"
    assert one.status == 200


@pytest.mark.parametrize("name", ["gpt-5.5-high-fast", "codex", "chatgpt%2Fgpt-5.5"])
@bounded
async def test_a_model_is_found_by_each_name_that_serves(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    async with gateway(tmp_path_factory.mktemp("a"), ADA) as relay:
        answer = await relay.get(f"/models/{name}")
    assert (answer.status, json.loads(answer.body)["id"]) == (200, name.replace("%2F", "/"))


@bounded
async def test_models_of_the_account_are_listed_beside_a_providers(tmp_path: Path) -> None:
    with fake_provider.running() as provider:
        chosen = {"relay_upstream": provider.url, "relay_api_key": provider.key}
        async with gateway(tmp_path, ADA, **chosen) as relay:
            listed = json.loads((await relay.get("/v1/models")).body)["data"]
    names = [entry["id"] for entry in listed]
    assert names == [*provider.models, "chatgpt/gpt-5.5", "chatgpt/gpt-6.1-sol"]


@bounded
async def test_a_body_of_responses_at_the_chat_endpoint_is_answered_as_chat(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        answer = await relay.post(CHAT, {"model": "gpt-5.5", "input": HI})
    assert message(answer)["content"] == "Hello"


@bounded
async def test_what_one_client_asks_wrongly_others_may_still_ask(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        wrong = await relay.chat(service_tier="scale")
        relay.backend.refusals.clear()
        relay.backend.reply(say("Hello"))
        await relay.chat("gpt-5.5-fast")
        asked = relay.backend.turns[-1].body
    assert wrong.status == 400 and "service_tier: scale" in error(wrong)["message"]
    assert asked["service_tier"] == "priority"


@bounded
async def test_responses_clients_are_answered_too(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        answer = await relay.post("/v1/responses", {"model": "gpt-5.5", "input": "Hi"})
    made = json.loads(answer.body)
    assert [item["type"] for item in made["output"]] == ["reasoning", "message"]


@bounded
async def test_a_turn_goes_on_with_plain_messages_and_keeps_its_reasoning(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(think("Look."), call("ls", path="."))
        said = message(await relay.chat(tools=tools))
        plain = {name: said[name] for name in ("role", "content", "tool_calls")}
        output = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "a.txt"}
        relay.backend.reply(say("Done"))
        await relay.chat(tools=tools, messages=[*HI, plain, output])
        first, second = relay.backend.turns
    types = [item["type"] for item in second.items]
    assert types == ["message", "reasoning", "function_call", "function_call_output"]
    assert first.body["prompt_cache_key"] == second.body["prompt_cache_key"]


@bounded
async def test_overload_within_a_stream_is_tried_again(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(overloaded())
        relay.backend.reply(say("Hello"))
        answer = await relay.chat(stream=True)
        assert len(relay.backend.turns) == 2
    assert b"Hel" in answer.body and b"overloaded" not in answer.body


@bounded
async def test_a_burst_passes(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(burst())
        relay.backend.reply(say("Hello"))
        answer = await relay.chat()
    assert message(answer)["content"] == "Hello"


@bounded
async def test_a_limit_is_told_and_learned(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        relay.backend.reply(usage_limit(resets_in=600))
        first = await relay.chat()
        second = await relay.post("/v1/responses", {"model": "gpt-5.5", "input": "Hi"})
        assert len(relay.backend.turns) == 1
        told = json.loads((await relay.get("/auth/accounts")).body)["accounts"][0]
    for answer in (first, second):
        assert answer.status == 429 and error(answer)["type"] == "usage_limit_reached"
        assert 590 <= error(answer)["resets_in_seconds"] <= 600
    assert (told["state"], told["reason"]) == ("limited", "usage_limit_reached")


@bounded
async def test_another_account_serves_only_where_that_is_wanted(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB, relay_account_failover="on") as relay:
        relay.backend.always[ADA.workspace] = usage_limit()
        relay.backend.reply(say("Hello"))
        answer = await relay.chat()
        accounts = [turn.headers["chatgpt-account-id"] for turn in relay.backend.turns]
    assert message(answer)["content"] == "Hello"
    assert accounts == [ADA.workspace, BOB.workspace]


@bounded
async def test_a_login_that_is_refused_is_renewed_once(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        [token] = relay.auth.access
        relay.auth.revoke(token)
        relay.backend.reply(say("Hello"))
        answer = await relay.chat()
    assert message(answer)["content"] == "Hello"
    assert relay.auth.refreshes == 1


@bounded
async def test_identity_tells_who_we_are_and_no_secret(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA) as relay:
        answer = await relay.get("/debug/identity")
        [token] = relay.auth.access
    [asked] = json.loads(answer.body)["requests"]
    assert asked["headers"]["originator"] == "codex-relay"
    assert asked["headers"]["authorization"] == "Bearer (hidden)"
    assert token not in answer.body.decode() and ADA.workspace not in answer.body.decode()


@bounded
async def test_a_lesson_is_for_all_accounts(tmp_path: Path) -> None:
    async with gateway(tmp_path, ADA, BOB) as relay:
        refused = Error(400, b'{"detail": "Unsupported parameter: service_tier"}')
        relay.backend.reply(refused)
        relay.backend.reply(say("Hello"))
        await relay.chat(service_tier="priority")
        await relay.post("/auth/select", {"id": addon.known()[1].id})
        relay.backend.reply(say("Hello"))
        await relay.chat(service_tier="priority")
        turns = relay.backend.turns
    assert ["service_tier" in turn.body for turn in turns] == [True, False, False]
    assert turns[2].headers["chatgpt-account-id"] == BOB.workspace
