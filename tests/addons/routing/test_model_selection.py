"""Which provider gets a request: two real ones behind one relay."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from addons.config.addon import Config
from addons.demo_provider import Demo
from addons.endpoints.codex_calls import Codex
from addons.endpoints.models import Listing
from addons.exchange.addon import Translator
from addons.ingress.access import Guard
from addons.ingress.listeners import Listeners
from addons.ingress.routes import Routes
from addons.launch import bindable
from addons.transport.relay_stream import Transport
from tests.addons.proxy import Answer, Call, Client, Upstream, bounded, proxy, upstream
from tests.translate.support import chunk
from tests.translate.support import stream as chat


def serving(*models: str, status: int = 200) -> Any:
    """A provider that lists these models and answers with this status."""

    def handler(call: Call) -> None:
        if call.line.startswith("GET"):
            data = [{"id": name, "context_length": 5000} for name in models]
            call.reply(200, json.dumps({"data": data}).encode())
        elif status != 200:
            call.reply(status, b'{"error":{"message":"no"}}')
        else:
            call.stream(chat(chunk(content="Hi."), chunk("stop")))
            call.end()

    return handler


@dataclass
class Both:
    port: int
    own: int  # the port of `two` alone
    one: Upstream
    two: Upstream

    def asked(self) -> list[tuple[str, str, str | None]]:
        """Provider, model and key of each request for an answer."""
        return [
            (name, json.loads(call.body)["model"], call.headers.get("authorization"))
            for name, above in (("one", self.one), ("two", self.two))
            for call in above.seen
            if call.line.startswith("POST")
        ]

    async def ask(self, model: str, at: int = 0, **more: Any) -> Answer:
        body = json.dumps({"model": model, "input": "Hello.", **more.pop("body", {})}).encode()
        async with Client.connect(at or self.port) as client:
            return await client.ask("/v1/responses", body, **more)

    async def models(self, at: int = 0, query: str = "") -> Any:
        async with Client.connect(at or self.port) as client:
            return json.loads((await client.ask(f"/v1/models{query}", b"", method="GET")).body)


FILE = """\
[providers.one]
base_urls = ["http://127.0.0.1:{one}/v1"]
key_env = ["ONE_KEY"]
[providers.two]
base_urls = ["http://127.0.0.1:{two}/v1"]
key_env = ["TWO_KEY"]
model = "two-default"
"""


@asynccontextmanager
async def relay(
    tmp_path: Path, more: str = "", one: Any = None, two: Any = None, **options: str
) -> AsyncIterator[Both]:
    async with (
        upstream(one or serving("big", "shared", "two/odd")) as first,
        upstream(two or serving("small", "shared", "path/model")) as second,
    ):
        file, own = tmp_path / "relay.toml", bindable(0)
        file.write_text(f"{more}\n" + FILE.format(one=first.port, two=second.port))
        chain = [
            Config(),
            Listeners(),
            Transport(),
            Guard(),
            Routes(),
            Codex(),
            Listing(),
            Translator(),
            Demo(),
        ]
        chosen = {"relay_config": str(file), "relay_ports": f"two:{own}", **options}
        chosen = {"relay_provider": "one", **chosen}
        async with proxy(*chain, **chosen) as (master, port):
            server: Any = master.addons.get("proxyserver")
            while own not in {address[1] for address in server.listen_addrs()}:
                await asyncio.sleep(0.005)
            yield Both(port, own, first, second)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_KEY", "key-1")
    monkeypatch.setenv("TWO_KEY", "key-2")


ONE, TWO = ("one", "Bearer key-1"), ("two", "Bearer key-2")
WAYS = [
    ("big", ONE, "big"),
    ("unheard-of", ONE, "unheard-of"),
    ("two/small", TWO, "small"),
    ("two/unheard-of", TWO, "unheard-of"),
    ("two/path/model", TWO, "path/model"),
    ("one/big", ONE, "big"),
    ("two/odd", ONE, "two/odd"),  # its own name for something
    ("shared", ONE, "shared"),
    ("small", TWO, "small"),  # only that one lists it
    ("nobody/big", ONE, "nobody/big"),
    ("deepseek/x", ONE, "deepseek/x"),  # known, and neither served nor with a key
    ("alias", TWO, "small"),
    ("gpt-6-mini", TWO, "path/model"),
    ("plain", ONE, "big"),
]
MAP = """\
[model_map]
alias = "two/small"
"gpt-6*" = "two/path/model"
plain = "big"
"""


@pytest.mark.parametrize(("asked", "whom", "model"), WAYS, ids=[way[0] for way in WAYS])
def test_the_model_chooses_its_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, whom: tuple[str, str], model: str
) -> None:
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)

    async def run() -> None:
        async with relay(tmp_path, MAP) as it:
            answer = await it.ask(asked)
            assert answer.status == 200
            assert it.asked() == [(whom[0], model, whom[1])]
            assert answer.headers["x-relay-provider"] == whom[0]
            assert answer.headers["x-relay-model"] == model
            assert json.loads(answer.body)["model"] == asked

    bounded(run)()


@bounded
async def test_a_port_of_its_own_keeps_to_its_provider(tmp_path: Path) -> None:
    async with relay(tmp_path, MAP) as it:
        for asked in ("small", "big", "gpt-6-mini", "plain", "one/big"):
            assert (await it.ask(asked, at=it.own)).status == 200
        assert [name for name, _, _ in it.asked()] == ["two"] * 5
        models = [model for _, model, _ in it.asked()]
        assert models == ["small", "two-default", "path/model", "two-default", "two-default"]


def test_the_catalog_has_the_models_of_all(tmp_path: Path) -> None:
    async def run() -> None:
        async with relay(tmp_path, MAP, relay_model="big") as it:
            ids = [model["id"] for model in (await it.models())["data"]]
            assert ids == [
                *("big", "alias", "plain", "shared", "two/odd"),
                *("two/small", "two/shared", "two/path/model"),
            ]
            form = (await it.models(query="?client_version=0.169.0"))["models"]
            assert {one["slug"]: one["context_window"] for one in form}["alias"] == 5000
            alone = [model["id"] for model in (await it.models(at=it.own))["data"]]
            assert alone == ["two-default", "small", "shared", "path/model"]

    bounded(run)()


ROLES = '[role_map]\nsubagent = "two/small"\ncompaction = "two/path/model"\ntitle = "small"\n'
TRIGGER = {"input": [{"role": "user", "content": "Hi."}, {"type": "compaction_trigger"}]}
PARTS = [
    ({"x_openai_subagent": "collab_spawn"}, {}, "two", "small"),
    ({"x_openai_subagent": "review"}, {}, "one", "big"),
    ({"x_openai_subagent": "compact"}, {}, "two", "path/model"),
    ({"x_codex_turn_metadata": '{"request_kind":"compaction"}'}, {}, "two", "path/model"),
    ({"x_codex_turn_metadata": '{"thread_source":"thread_title"}'}, {}, "one", "small"),
    ({"x_codex_turn_metadata": '{"thread_source":"user"}'}, {}, "one", "big"),
    ({"x_codex_turn_metadata": "nonsense"}, {}, "one", "big"),
    ({"x_codex_turn_metadata": "[1]"}, {}, "one", "big"),
    ({}, {}, "one", "big"),
    ({}, TRIGGER, "two", "path/model"),
]


@pytest.mark.parametrize(("headers", "body", "name", "model"), PARTS)
def test_roles_have_models_of_their_own(
    tmp_path: Path, headers: dict[str, str], body: dict[str, Any], name: str, model: str
) -> None:
    async def run() -> None:
        async with relay(tmp_path, ROLES) as it:
            assert (await it.ask("big", body=body, **headers)).status == 200
            assert [asked[:2] for asked in it.asked()] == [(name, model)]

    bounded(run)()


LIST = '[model_map]\nboth = ["one/big", "two/small"]\n'


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 503])
def test_the_next_of_a_list_is_asked_where_one_fails(tmp_path: Path, status: int) -> None:
    async def run() -> None:
        broken = serving("big", status=status)
        async with relay(tmp_path, LIST, one=broken, relay_retries="0") as it:
            answer = await it.ask("both")
            assert answer.status == 200
            assert answer.headers["x-relay-provider"] == "two"
            assert [asked[0] for asked in it.asked()] == ["one", "two"]
            assert it.asked()[1][2] == "Bearer key-2"

    bounded(run)()


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_goes_to_nobody_else(tmp_path: Path, status: int) -> None:
    async def run() -> None:
        async with relay(tmp_path, LIST, one=serving("big", status=status)) as it:
            assert (await it.ask("both")).status == 400
            assert [asked[0] for asked in it.asked()] == ["one"]

    bounded(run)()


def test_the_next_of_a_list_is_asked_where_nobody_listens(tmp_path: Path) -> None:
    async def run() -> None:
        more = f'{LIST}[providers.gone]\nbase_urls = ["http://127.0.0.1:{bindable(0)}/v1"]\n'
        more = more.replace("one/big", "gone/x")
        async with relay(tmp_path, more, relay_retries="1", relay_retry_budget="1") as it:
            answer = await it.ask("both")
            assert answer.headers["x-relay-provider"] == "two"

    bounded(run)()


def test_who_has_no_key_is_passed_over(tmp_path: Path) -> None:
    async def run() -> None:
        more = LIST.replace("one/big", "far/x")
        more += '[providers.far]\nbase_urls = ["https://far.invalid/v1"]\nkey_env = ["NO_KEY"]\n'
        async with relay(tmp_path, more) as it:
            assert (await it.ask("both")).headers["x-relay-provider"] == "two"

    bounded(run)()


def test_a_provider_without_a_place_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with relay(tmp_path, '[model_map]\nm = "azure/gpt"\n') as it:
            answer = await it.ask("m")
            assert answer.status == 400
            assert "no base_urls" in json.loads(answer.body)["error"]["message"]

    bounded(run)()
