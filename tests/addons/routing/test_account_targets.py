"""Models of an account and of a Chat provider side by side, and requests with a lease."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import Response
from mitmproxy.test import tflow, tutils

from addons.accounts.pool import AccountUnavailable
from addons.config.config_file import builtin_providers
from addons.flow_data import OWN_PORT
from addons.routing.account_targets import RetryWithRefresh, answer_unavailable, with_lease
from addons.routing.model_selection import ModelTarget
from addons.routing.target import Target
from tests.addons.accounts.pool_harness import ADA, PoolHarness, run, start_request
from tests.addons.gateway import Gateway, gateway
from tests.addons.proxy import Answer, Call, bounded, upstream
from tests.fake_auth import make_user
from tests.replies import say
from tests.translate.support import chunk, stream

USER = make_user("ada")
MODELS = {"data": [{"id": "deepseek-chat"}, {"id": "gpt-5.5-mini"}]}
ACCOUNT_TARGET = ModelTarget(Target(builtin_providers()["chatgpt"], "https://h/codex"), "gpt-5.5")


def answer_as_provider(call: Call) -> None:
    if call.request_line.startswith("GET"):
        call.reply(200, json.dumps(MODELS).encode())
    else:
        call.stream(stream(chunk(role="assistant", content="Hi"), chunk("stop")))
        call.end()


async def ask_as_chat_client(relay: Gateway, model: str) -> Answer:
    return await relay.chat(model)


async def ask_as_codex(relay: Gateway, model: str) -> Answer:
    return await relay.post("/v1/responses", {"model": model, "input": "Hi"})


@pytest.mark.parametrize(
    ("ask", "requested", "provider", "model"),
    [
        # A Chat client gets the models that the provider lists, and the account for the others.
        (ask_as_chat_client, "deepseek-chat", "deepseek", "deepseek-chat"),
        (ask_as_chat_client, "gpt-5.5-mini", "deepseek", "gpt-5.5-mini"),
        (ask_as_chat_client, "gpt-5.5", "chatgpt", "gpt-5.5"),
        (ask_as_chat_client, "gpt-5.5-high", "chatgpt", "gpt-5.5"),
        (ask_as_chat_client, "codex", "chatgpt", "gpt-6.1-sol"),
        (ask_as_chat_client, "unheard-of", "chatgpt", "unheard-of"),
        # Codex gets the provider, unless it names the account.
        (ask_as_codex, "deepseek-chat", "deepseek", "deepseek-chat"),
        (ask_as_codex, "gpt-5.5", "deepseek", "gpt-5.5"),
        (ask_as_codex, "chatgpt/gpt-5.5", "chatgpt", "gpt-5.5"),
        (ask_as_codex, "codex-mini", "chatgpt", "gpt-6-luna"),
        # A provider in the name or in the settings decides before anything else.
        (ask_as_chat_client, "chatgpt/deepseek-chat", "chatgpt", "deepseek-chat"),
        (ask_as_chat_client, "deepseek/gpt-5.5", "deepseek", "gpt-5.5"),
        (ask_as_chat_client, "mine", "chatgpt", "gpt-5.5"),
        (ask_as_codex, "theirs", "deepseek", "deepseek-chat"),
    ],
)
@bounded
async def test_client_and_model_decide_between_account_and_provider(
    tmp_path_factory: pytest.TempPathFactory, ask: Any, requested: str, provider: str, model: str
) -> None:
    async with upstream(answer_as_provider) as server:
        options = {
            "relay_upstream": f"http://127.0.0.1:{server.port}/v1",
            "relay_provider": "deepseek",
            "relay_api_key": "k",
            "relay_model_map": "mine:chatgpt/gpt-5.5,theirs:deepseek-chat",
        }
        async with gateway(tmp_path_factory.mktemp("a"), USER, **options) as relay:
            if provider == "chatgpt":
                relay.backend.reply(say("Hello"))
            answer = await ask(relay, requested)
    assert answer.status == 200, answer.body
    assert answer.headers["x-relay-provider"] == provider
    assert answer.headers["x-relay-model"] == model


@bounded
async def test_without_an_account_every_model_goes_to_the_provider(tmp_path: Path) -> None:
    async with upstream(answer_as_provider) as server:
        options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", "relay_api_key": "k"}
        async with gateway(tmp_path, **options) as relay:
            answer = await relay.chat("gpt-5.5")
            for_account = await relay.chat("chatgpt/gpt-5.5")
    assert answer.headers["x-relay-provider"] == "generic"
    assert for_account.status == 401


@bounded
async def test_next_model_serves_if_no_account_can(tmp_path: Path) -> None:
    async with upstream(answer_as_provider) as server:
        options = {
            "relay_upstream": f"http://127.0.0.1:{server.port}/v1",
            "relay_provider": "deepseek",
            "relay_api_key": "k",
            "relay_model_map": "best:chatgpt/gpt-5.5|deepseek-chat",
        }
        async with gateway(tmp_path, **options) as relay:
            answer = await relay.chat("best")
    assert answer.headers["x-relay-provider"] == "deepseek"


@bounded
async def test_account_models_are_listed_with_their_prefix(tmp_path: Path) -> None:
    async with upstream(answer_as_provider) as server:
        options = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", "relay_api_key": "k"}
        async with gateway(tmp_path, USER, **options) as relay:
            models = json.loads((await relay.get("/v1/models")).body)["data"]
    names = [model["id"] for model in models]
    assert names == ["deepseek-chat", "gpt-5.5-mini", "chatgpt/gpt-5.5", "chatgpt/gpt-6.1-sol"]


def test_each_account_is_a_provider_of_its_own(harness: PoolHarness) -> None:
    async def test() -> None:
        lease = await start_request(await harness.pool_with(ADA))
        target = with_lease(ACCOUNT_TARGET, lease).target
        assert target.lease is lease
        assert target.provider.identity != ACCOUNT_TARGET.target.provider.identity

    run(test())


@pytest.mark.parametrize(
    ("agent", "status", "client_status"),
    [("codex_exec/0.169.0", 401, 400), ("curl/8", 401, 401), ("codex_exec/0.169.0", 429, 429)],
)
def test_codex_gets_no_401_for_a_missing_account(
    agent: str, status: int, client_status: int
) -> None:
    flow = tflow.tflow()
    flow.metadata[OWN_PORT] = True
    flow.request.headers["user-agent"] = agent
    answer_unavailable(flow, AccountUnavailable(status, "no_account", "Log in."))
    assert flow.response and flow.response.status_code == client_status
    error = json.loads(flow.response.content or b"")["error"]
    assert (error["code"], error["message"]) == ("no_account", "Log in.")
    assert "retry-after" not in flow.response.headers


@pytest.mark.parametrize(("seconds", "has_header"), [(30, True), (600, False), (-5, False)])
def test_only_short_waits_are_sent_as_retry_after(seconds: float, has_header: bool) -> None:
    flow = tflow.tflow()
    resets_at = time.time() + seconds
    error = AccountUnavailable(429, "usage_limit_reached", "Wait.", resets_at)
    answer_unavailable(flow, error)
    assert flow.response
    assert ("retry-after" in flow.response.headers) == has_header
    fields = json.loads(flow.response.content or b"")["error"]
    assert fields["type"] == "usage_limit_reached" and fields["resets_at"] == int(resets_at)
    assert abs(fields["resets_in_seconds"] - max(seconds, 0)) <= 1


def test_first_401_renews_the_login_and_later_ones_follow_the_policy(harness: PoolHarness) -> None:
    async def test() -> None:
        lease = await start_request(await harness.pool_with(ADA))
        retry = RetryWithRefresh(lease, lambda flow, error, attempt: 7.0)
        flow = tflow.tflow()
        assert retry.retry_delay(flow, "connection refused", 1) == 7.0
        flow.response = Response.make(429)
        assert retry.retry_delay(flow, None, 1) == 7.0 and retry.is_ready()
        flow.response = tutils.tresp(status_code=401)
        harness.clock.now += 120
        lease.credential_headers()
        assert retry.retry_delay(flow, None, 2) == 0.0 and not retry.is_ready()
        assert retry.retry_delay(flow, None, 3) == 7.0
        await lease.refresh_login()
        assert retry.is_ready() and harness.service.refresh_tokens == ["rt-ada"]

    run(test())
