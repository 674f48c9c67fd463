"""Planted secrets reach their recipients, and appear in no hook, file or log."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow, Response
from mitmproxy.io import FlowReader

from addons.config.addon import Config
from addons.config.settings import FIELD_OF_OPTION
from addons.demo_provider import DemoProvider
from addons.exchange.addon import Translator
from addons.flow_data import MASK
from addons.ingress.addon import Ingress
from addons.ingress.redaction import mask_header_value, mask_headers, mask_json, mask_text
from addons.launch import start
from addons.observe.flow_pair import CLIENT_SIDE, PAIR_SIDE, PARTNER_ID
from addons.transport.addon import Transport
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Answer, Call, Client, bounded, confdir, proxy, upstream
from tests.codex.driver import ACCOUNT, unsigned_token
from tests.fake_provider import FakeProvider
from tests.replies import say
from tests.translate.support import chunk
from tests.translate.support import stream as chat

TOKEN = unsigned_token({"https://api.openai.com/auth": {"chatgpt_account_id": ACCOUNT}})
KEY, CLIENT, COOKIE = "provider-key-planted", "client-key-planted", "session=cookie-planted"
PLANTED = (TOKEN, KEY, CLIENT, COOKIE, ACCOUNT, "their-cookie-planted")
HELLO = json.dumps({"model": "m", "input": "Hello.", "stream": True}).encode()


def answer_hi(call: Call) -> None:
    if call.request_line.startswith("GET"):
        call.reply(404)
        return
    call.stream(chat(chunk(content="Hi."), chunk("stop")), set_cookie="a=their-cookie-planted")
    call.end()


@dataclass(frozen=True)
class SavedRun:
    flows: list[HTTPFlow]
    har: str
    log: str
    raw: bytes


class HookWatcher:
    """Collects what each hook shows of a flow."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def record_state(self, flow: HTTPFlow) -> None:
        self.texts.append(repr(flow.get_state()))

    requestheaders = request = responseheaders = response = error = record_state


@pytest.fixture
def save_run(tmp_path: Path, provider: FakeProvider) -> Callable[..., SavedRun]:
    """Three calls of Codex through a real mitmdump that writes flows, HAR and log."""

    def run(**settings: Any) -> SavedRun:
        provider.key = KEY
        provider.reply(say("Hi."))
        file, har, log = tmp_path / "flows", tmp_path / "flows.har", tmp_path / "log"
        arguments = ["-w", str(file), "--set", f"hardump={har}", "--set", "flow_detail=4"]
        arguments += ["--set", f"confdir={confdir()}", "--set", "termlog_verbosity=debug"]
        settings_of_relay = {"upstream": provider.url, "api_key": KEY, **settings}
        with start(arguments=arguments, log=log, **settings_of_relay) as relay:
            asyncio.run(make_calls(relay.port))
        with file.open("rb") as stream:
            flows = [flow for flow in FlowReader(stream).stream() if isinstance(flow, HTTPFlow)]
        return SavedRun(flows, har.read_text(), log.read_text(), file.read_bytes())

    return run


async def make_calls(port: int) -> None:
    answer = await ask_as_codex(port, "/backend-api/codex/responses")
    assert b"Hi." in answer.body
    account = await ask_as_codex(port, "/backend-api/wham/accounts/check", method="GET")
    assert json.loads(account.body)["default_account_id"] == ACCOUNT
    assert (await ask_as_codex(port, "/backend-api/plugins", method="GET")).status == 404


async def ask_as_codex(port: int, path: str, **headers: Any) -> Answer:
    codex_headers = {
        **{"authorization": f"Bearer {TOKEN}", "cookie": COOKIE, "chatgpt_account_id": ACCOUNT},
        **{"originator": "codex_exec", "host": "chatgpt.com"},
    }
    async with Client.connect(port, tunnel="chatgpt.com") as client:
        return await client.ask(path, HELLO, **{**codex_headers, **headers})


def test_no_secret_is_in_any_file_or_log(save_run: Callable[..., SavedRun]) -> None:
    saved_run = save_run()
    everything = saved_run.har + saved_run.log + saved_run.raw.decode("latin-1")
    for secret in PLANTED:
        assert secret not in everything, secret
    assert f"Bearer {MASK}" in saved_run.har


def test_files_have_everything_without_redaction(save_run: Callable[..., SavedRun]) -> None:
    saved_run = save_run(redact="off")
    assert TOKEN in saved_run.raw.decode("latin-1") and ACCOUNT in saved_run.har
    assert KEY not in saved_run.har  # the relay adds it as the request leaves


def test_files_have_both_flows_in_their_order(save_run: Callable[..., SavedRun]) -> None:
    saved_run = save_run()
    client_flow, upstream_flow = (flow for flow in saved_run.flows if PAIR_SIDE in flow.metadata)
    assert client_flow.metadata[PAIR_SIDE] == CLIENT_SIDE
    assert client_flow.metadata[PARTNER_ID] == upstream_flow.id
    assert client_flow.request.pretty_url == "https://chatgpt.com/backend-api/codex/responses"
    assert upstream_flow.request.path == "/v1/chat/completions"
    assert json.loads(upstream_flow.request.content or b"")["messages"][0]["content"] == "Hello."
    assert client_flow.response and b"response.completed" in (client_flow.response.content or b"")
    assert upstream_flow.response and b"[DONE]" in (upstream_flow.response.content or b"")
    urls = [entry["request"]["url"] for entry in json.loads(saved_run.har)["log"]["entries"]]
    both = [client_flow.request.pretty_url, upstream_flow.request.pretty_url]
    assert [url for url in urls if url in both] == both


@bounded
async def test_no_hook_or_option_shows_a_secret() -> None:
    watcher = HookWatcher()
    chain = exchange_addons(DemoProvider())
    async with upstream(answer_hi) as server:
        settings = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", "relay_api_key": KEY}
        async with proxy(*chain, watcher, **settings, relay_client_key=CLIENT) as (master, port):
            for _ in range(2):
                headers = {"authorization": f"Bearer {CLIENT}"}
                answer = await ask_as_codex(port, "/backend-api/codex/responses", **headers)
                assert b"Hi." in answer.body
                assert server.seen[-1].headers["authorization"] == f"Bearer {KEY}"
                master.options.update(relay_retries="1")  # settings are read again
            watcher.texts += [repr(getattr(master.options, name)) for name in FIELD_OF_OPTION]
    assert len(watcher.texts) > 8 + len(FIELD_OF_OPTION) - 1
    for secret in PLANTED:
        assert secret not in "".join(watcher.texts), secret


def test_openai_gets_the_original_headers() -> None:
    """The transport restores what the flow does not show."""
    request_headers: list[dict[str, str]] = []

    def handler(call: Call) -> None:
        request_headers.append(call.headers)
        call.reply(200, b"{}", set_cookie="a=their-cookie-planted")

    class OpenAIRedirect:
        """Sends requests for OpenAI to a server of the test."""

        def request(self, flow: HTTPFlow) -> None:
            flow.request.scheme = "http"
            flow.request.host, flow.request.port = "127.0.0.1", self.port

        port = 0

    redirect = OpenAIRedirect()

    async def run() -> None:
        async with upstream(handler) as server:
            redirect.port = server.port
            chain = [Config(), Transport(), Ingress(), redirect]
            async with proxy(*chain, relay_isolate="off") as (_, port):
                answer = await ask_as_codex(port, "/backend-api/other")
                assert answer.headers["set-cookie"] == "a=their-cookie-planted"

    bounded(run)()
    assert request_headers[0]["authorization"] == f"Bearer {TOKEN}"
    assert request_headers[0]["cookie"] == COOKIE


def test_known_secrets_are_masked_in_texts() -> None:
    assert mask_text("my-own-key here", ["my-own-key", ""]) == f"{MASK} here"
    assert mask_text("word here", ["word"]) == "word here"  # too short to be searched for
    assert mask_text(f"it is {TOKEN}, he said") == f"it is {MASK}, he said"


def test_every_text_of_a_json_value_is_masked() -> None:
    value = {"a": [TOKEN, 1, None, {"b": f"x {TOKEN}"}], TOKEN: True}
    assert mask_json(value) == {"a": [MASK, 1, None, {"b": f"x {MASK}"}], TOKEN: True}


def test_masks_of_headers_keep_the_scheme() -> None:
    assert mask_header_value("Basic abc") == f"Basic {MASK}"
    assert mask_header_value("abc def") == f"abc {MASK}"
    assert mask_header_value("abc") == MASK


def test_masking_twice_keeps_the_originals() -> None:
    """A second attempt brings another reply of the upstream, with another cookie."""
    originals: dict[str, list[str]] = {}
    reply = Response.make(200, b"", {"Set-Cookie": "a=1", "x": "y"})
    mask_headers(reply, originals)
    mask_headers(reply, originals)
    assert originals == {"set-cookie": ["a=1"]}
    assert (reply.headers["set-cookie"], reply.headers["x"]) == (MASK, "y")
    reply.headers["set-cookie"] = "a=2"
    mask_headers(reply, originals)
    assert originals == {"set-cookie": ["a=2"]} and reply.headers["set-cookie"] == MASK


@bounded
async def test_key_that_the_provider_repeats_is_masked() -> None:
    def repeat_key(call: Call) -> None:
        error = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
        call.reply(401, json.dumps(error).encode())

    watcher = HookWatcher()
    chain = exchange_addons(DemoProvider())
    async with upstream(repeat_key) as server:
        settings = {"relay_upstream": f"http://127.0.0.1:{server.port}/v1", "relay_api_key": KEY}
        async with proxy(*chain, watcher, **settings) as (_, port):
            answer = await ask_as_codex(port, "/backend-api/codex/responses")
    assert answer.status == 400
    assert MASK in answer.body.decode() and KEY not in answer.body.decode()
    assert KEY not in watcher.texts[-1]


@bounded
async def test_key_in_a_users_table_is_on_no_flow(tmp_path: Path) -> None:
    api_keys: list[str] = []

    def record_api_key(call: Call) -> None:
        api_keys.append(call.headers.get("x-api-key", ""))
        answer_hi(call)

    async with upstream(record_api_key) as server:
        file = tmp_path / "relay.toml"
        file.write_text(
            f'[providers.box]\nlike = "vllm"\nbase_urls = ["http://127.0.0.1:{server.port}/v1"]\n'
            f'headers = {{ x-api-key = "{KEY}", x-team = "a" }}\n'
        )
        chain = [Config(), Transport(), Ingress(), Translator(), DemoProvider()]
        settings = {"relay_config": str(file), "relay_provider": "box"}
        watcher = HookWatcher()
        settings["save_stream_file"] = str(tmp_path / "flows")
        async with proxy(*chain, watcher, **settings) as (_, port):
            answer = await ask_as_codex(port, "/backend-api/codex/responses")
            while not any("x-team" in text for text in watcher.texts):
                await asyncio.sleep(0.01)
    assert b"Hi." in answer.body and KEY in api_keys
    assert not [text for text in watcher.texts if KEY in text]
