"""Which provider and model serve a request."""

import json
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.test import tutils

from addons.config.addon import Config
from addons.config.config_file import builtin_providers
from addons.launch import available_port
from addons.routing.model_selection import request_role, requested_target
from addons.routing.target import Target
from tests.addons.proxy import bounded, proxy
from tests.addons.routing.one_provider import HELLO, one_provider_relay, send_request
from tests.addons.routing.two_providers import BOTH_MODELS, serve_models, two_provider_relay

MODEL_MAP = """\
[model_map]
alias = "two/small"
"gpt-6*" = "two/path/model"
simple = "big"
"""
ONE, TWO = ("one", "Bearer key-1"), ("two", "Bearer key-2")
SELECTIONS = [
    ("big", ONE, "big"),
    ("unheard-of", ONE, "unheard-of"),
    ("two/small", TWO, "small"),
    ("two/unheard-of", TWO, "unheard-of"),
    ("two/path/model", TWO, "path/model"),
    ("one/big", ONE, "big"),
    ("two/odd", ONE, "two/odd"),  # a name that provider one lists
    ("shared", ONE, "shared"),
    ("small", TWO, "small"),  # only provider two lists it
    ("nobody/big", ONE, "nobody/big"),
    ("deepseek/x", ONE, "deepseek/x"),  # a provider without a key
    ("alias", TWO, "small"),
    ("gpt-6-mini", TWO, "path/model"),
    ("simple", ONE, "big"),
]


@pytest.mark.parametrize(
    ("requested", "provider", "model"), SELECTIONS, ids=[row[0] for row in SELECTIONS]
)
def test_model_selects_its_provider(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    requested: str,
    provider: tuple[str, str],
    model: str,
) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)

    async def run() -> None:
        async with two_provider_relay(tmp_path, MODEL_MAP) as relay:
            answer = await relay.ask(requested)
            assert answer.status == 200
            assert relay.requests() == [(provider[0], model, provider[1])]
            assert answer.headers["x-relay-provider"] == provider[0]
            assert answer.headers["x-relay-model"] == model
            assert json.loads(answer.body)["model"] == requested

    bounded(run)()


@bounded
async def test_request_to_a_providers_own_port_stays_with_it(tmp_path: Path) -> None:
    async with two_provider_relay(tmp_path, MODEL_MAP) as relay:
        for requested in ("small", "big", "gpt-6-mini", "simple", "one/big"):
            assert (await relay.ask(requested, port=relay.second_port)).status == 200
        names = [name for name, _, _ in relay.requests()]
        models = [model for _, model, _ in relay.requests()]
    assert names == ["two"] * 5
    assert models == ["small", "two-default", "path/model", "two-default", "two-default"]


@bounded
async def test_catalog_lists_the_models_of_all_providers(tmp_path: Path) -> None:
    async with two_provider_relay(tmp_path, MODEL_MAP, relay_model="big") as relay:
        ids = [model["id"] for model in (await relay.models())["data"]]
        codex_models = (await relay.models(query="?client_version=0.169.0"))["models"]
        second = (await relay.models(port=relay.second_port))["data"]
    assert ids == [
        *("big", "alias", "simple", "shared", "two/odd"),
        *("two/small", "two/shared", "two/path/model"),
    ]
    windows = {model["slug"]: model["context_window"] for model in codex_models}
    assert windows["alias"] == 5000
    assert [model["id"] for model in second] == ["two-default", "small", "shared", "path/model"]


ROLE_MAP = '[role_map]\nsubagent = "two/small"\ncompaction = "two/path/model"\ntitle = "small"\n'
COMPACTION = {"input": [{"role": "user", "content": "Hi."}, {"type": "compaction_trigger"}]}
AGENT, METADATA = "x-openai-subagent", "x-codex-turn-metadata"
ROLES: list[tuple[dict[str, str], dict[str, Any], str | None]] = [
    ({AGENT: "collab_spawn"}, {}, "subagent"),
    ({AGENT: "review"}, {}, "review"),
    ({AGENT: "compact"}, {}, "compaction"),
    ({METADATA: '{"request_kind":"compaction"}'}, {}, "compaction"),
    ({METADATA: '{"thread_source":"thread_title"}'}, {}, "title"),
    ({METADATA: '{"thread_source":"user"}'}, {}, None),
    ({METADATA: "nonsense"}, {}, None),
    ({METADATA: "[1]"}, {}, None),
    ({METADATA: "[" * 50_000}, {}, None),
    ({}, {}, None),
    ({}, COMPACTION, "compaction"),
]


@pytest.mark.parametrize(("headers", "body", "role"), ROLES)
def test_headers_and_body_name_the_role(
    headers: dict[str, str], body: dict[str, Any], role: str | None
) -> None:
    request = tutils.treq()
    request.headers.update(headers)
    assert request_role(request, body) == role


@pytest.mark.parametrize(
    ("headers", "body", "name", "model"),
    [
        ({"x_openai_subagent": "collab_spawn"}, {}, "two", "small"),
        ({"x_openai_subagent": "review"}, {}, "one", "big"),  # a role without a model
        ({"x_codex_turn_metadata": '{"thread_source":"thread_title"}'}, {}, "one", "small"),
        ({}, COMPACTION, "two", "path/model"),
        ({}, {}, "one", "big"),
    ],
)
def test_roles_may_have_models_of_their_own(
    tmp_path: Path, headers: dict[str, str], body: dict[str, Any], name: str, model: str
) -> None:
    async def run() -> None:
        async with two_provider_relay(tmp_path, ROLE_MAP) as relay:
            assert (await relay.ask("big", body=body, **headers)).status == 200
            assert [request[:2] for request in relay.requests()] == [(name, model)]

    bounded(run)()


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 503])
def test_next_provider_is_tried_after_a_failure(tmp_path: Path, status: int) -> None:
    async def run() -> None:
        failing = serve_models("big", status=status)
        async with two_provider_relay(
            tmp_path, BOTH_MODELS, first=failing, relay_retries="0"
        ) as relay:
            answer = await relay.ask("both")
            assert answer.status == 200
            assert answer.headers["x-relay-provider"] == "two"
            assert [request[0] for request in relay.requests()] == ["one", "two"]
            assert relay.requests()[1][2] == "Bearer key-2"

    bounded(run)()


@pytest.mark.parametrize(("status", "client_status"), [(400, 400), (413, 400), (422, 422)])
def test_refused_request_is_not_sent_to_another_provider(
    tmp_path: Path, status: int, client_status: int
) -> None:
    async def run() -> None:
        refusing = serve_models("big", status=status)
        async with two_provider_relay(tmp_path, BOTH_MODELS, first=refusing) as relay:
            assert (await relay.ask("both")).status == client_status
            assert [request[0] for request in relay.requests()] == ["one"]

    bounded(run)()


@bounded
async def test_next_provider_is_tried_if_one_does_not_listen(tmp_path: Path) -> None:
    gone = f'[providers.gone]\nbase_urls = ["http://127.0.0.1:{available_port(0)}/v1"]\n'
    config = BOTH_MODELS.replace("one/big", "gone/x") + gone
    async with two_provider_relay(tmp_path, config, relay_retries="1,1s") as relay:
        answer = await relay.ask("both")
    assert answer.headers["x-relay-provider"] == "two"


@bounded
async def test_provider_without_a_key_is_skipped(tmp_path: Path) -> None:
    far = '[providers.far]\nbase_urls = ["https://far.invalid/v1"]\nkey_env = ["NO_KEY"]\n'
    config = BOTH_MODELS.replace("one/big", "far/x") + far
    async with two_provider_relay(tmp_path, config) as relay:
        assert (await relay.ask("both")).headers["x-relay-provider"] == "two"


@bounded
async def test_provider_without_a_url_is_an_error(tmp_path: Path) -> None:
    async with two_provider_relay(tmp_path, '[model_map]\nm = "azure/gpt"\n') as relay:
        answer = await relay.ask("m")
    assert answer.status == 400
    assert "no base_urls" in json.loads(answer.body)["error"]["message"]


MODELS = b'{"object": "list", "data": [{"id": "listed"}, {"id": "other"}]}'


@pytest.mark.parametrize(
    ("requested", "options", "model"),
    [
        ("gpt-5.5", {}, "gpt-5.5"),
        ("gpt-5.5", {"model_map": "gpt-5.5:a,gpt-5.5:b"}, "a"),
        ("gpt-5.5", {"model_map": "gpt-5*:a,gpt-5.5:b"}, "a"),
        ("gpt-5.5", {"model_map": "gpt-5.5:b,gpt-5*:a"}, "b"),
        ("gpt-5.5-codex", {"model_map": "gpt-5.5:b,gpt-5*:a"}, "a"),
        ("gpt-5x5", {"model_map": "gpt-5.5:b"}, "gpt-5x5"),
        ("GPT-5.5", {"model_map": "gpt-*:a"}, "GPT-5.5"),
        ("any/thing", {"model_map": "*:vendor/a:free"}, "vendor/a:free"),
        ("listed", {"model": "m"}, "listed"),
        ("gpt-5.5", {"model": "m"}, "m"),
        ("listed", {"model": "m", "model_map": "listed:a"}, "a"),
        ("gpt-5.5", {"model": "m", "model_map": "listed:a"}, "m"),
    ],
)
def test_settings_may_replace_the_model(
    requested: str, options: dict[str, str], model: str
) -> None:
    async def run() -> None:
        relay_options = {f"relay_{name}": value for name, value in options.items()}
        body = json.dumps({"model": requested, "input": "Hello."}).encode()
        async with one_provider_relay(MODELS, **relay_options) as relay:
            answer = await send_request(relay.port, body=body)
        assert json.loads(relay.chats[0].body)["model"] == model
        assert json.loads(answer.body)["model"] == requested
        assert answer.headers["x-relay-model"] == model
        # The list is only fetched if it could change the model.
        assert len(relay.lists) == (model in ("m", "listed"))

    bounded(run)()


@pytest.mark.parametrize("models", [None, b"<html>", b'{"data": []}'])
def test_configured_model_is_used_without_a_model_list(models: bytes | None) -> None:
    async def run() -> None:
        async with one_provider_relay(models, relay_model="m") as relay:
            for _ in range(2):
                assert (await send_request(relay.port, body=HELLO)).status == 200
        assert [json.loads(call.body)["model"] for call in relay.chats] == ["m", "m"]
        assert len(relay.lists) == 1

    bounded(run)()


@bounded
async def test_configured_model_is_used_if_the_list_cannot_be_reached() -> None:
    target = Target(builtin_providers()["generic"], "http://127.0.0.1:9/v1", None)
    async with proxy(Config(), relay_model="m"):
        assert (await requested_target(target, "gpt-5.5", is_chat=False)).model == "m"


DEMO_REQUEST = json.dumps({"model": "demo", "input": "Hello."}).encode()


@pytest.mark.parametrize(
    ("options", "models", "asked"),
    [
        ({}, b'["text-embedding-1", "a", "b"]', "a"),
        ({"relay_model": "b"}, b'["a", "b"]', "b"),
        ({}, b'["a", "demo"]', "demo"),  # the provider has one of its own
        ({"relay_model_map": "demo:c"}, b'["a"]', "c"),
        ({}, b"[]", "demo"),
        ({}, None, "demo"),
    ],
)
def test_demonstrations_model_becomes_one_of_the_provider(
    options: dict[str, str], models: bytes | None, asked: str
) -> None:
    """Codex takes its default from a list that it has cached: the first turn after the
    demonstration failed with a 404."""

    async def run() -> None:
        async with one_provider_relay(models, **options) as relay:
            answer = await send_request(relay.port, body=DEMO_REQUEST)
            assert answer.status == 200 and answer.headers["x-relay-model"] == asked
            assert json.loads(relay.chats[0].body)["model"] == asked

    bounded(run)()


def test_replaced_model_is_noted(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with one_provider_relay(b'["a"]') as relay:
            await send_request(relay.port, body=DEMO_REQUEST)

    caplog.set_level("INFO")
    bounded(run)()
    assert "a in place of demo, which is the demonstration's" in caplog.text


@bounded
async def test_demonstration_serves_its_own_model() -> None:
    async with one_provider_relay(relay_upstream="") as relay:
        answer = await send_request(relay.port, body=DEMO_REQUEST)
        assert answer.status == 200 and answer.headers["x-relay-model"] == "demo"
        assert not relay.chats
