"""Planted secrets: they reach whom they are meant for, and are in no page, file or log."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from addons.config.addon import Config
from addons.config.settings import OPTIONS
from addons.demo_provider import Demo
from addons.exchange.addon import Translator
from addons.ingress import redaction as redact
from addons.ingress.access import Guard
from addons.ingress.redaction import MASK, Redact, masked
from addons.ingress.routes import Routes
from addons.launch import start
from addons.observe import flow_pair as rows
from addons.transport.relay_stream import Transport
from tests.addons.chain import chain_of
from tests.addons.proxy import Answer, Call, Client, bounded, confdir, proxy, upstream
from tests.codex.driver import ACCOUNT, jwt
from tests.fake_provider import FakeProvider
from tests.replies import say
from tests.translate.support import chunk
from tests.translate.support import stream as chat

TOKEN = jwt({"https://api.openai.com/auth": {"chatgpt_account_id": ACCOUNT}})
KEY, CLIENT, COOKIE = "provider-key-planted", "client-key-planted", "session=cookie-planted"
PLANTED = (TOKEN, KEY, CLIENT, COOKIE, ACCOUNT, "their-cookie-planted")
HELLO = json.dumps({"model": "m", "input": "Hello.", "stream": True}).encode()


def fine(call: Call) -> None:
    if call.line.startswith("GET"):
        call.reply(404)
        return
    call.stream(chat(chunk(content="Hi."), chunk("stop")), set_cookie="a=their-cookie-planted")
    call.end()


@dataclass(frozen=True)
class Saved:
    flows: list[HTTPFlow]
    har: str
    log: str
    raw: bytes


class Watch:
    """What each hook shows of a flow, for whoever looks at that moment."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def look(self, flow: HTTPFlow) -> None:
        self.shown.append(repr(flow.get_state()))

    requestheaders = request = responseheaders = response = error = look


@pytest.fixture
def saved(tmp_path: Path, provider: FakeProvider) -> Callable[..., Saved]:
    """Three calls of a Codex through a real mitmdump that writes all that it can."""

    def run(**settings: Any) -> Saved:
        provider.key = KEY
        provider.reply(say("Hi."))
        file, har, log = tmp_path / "flows", tmp_path / "flows.har", tmp_path / "log"
        arguments = ["-w", str(file), "--set", f"hardump={har}", "--set", "flow_detail=4"]
        arguments += ["--set", f"confdir={confdir()}", "--set", "termlog_verbosity=debug"]
        given = {"upstream": provider.url, "api_key": KEY, **settings}
        with start(arguments=arguments, log=log, **given) as relay:
            asyncio.run(calls(relay.port))
        with file.open("rb") as stream:
            flows = [one for one in FlowReader(stream).stream() if isinstance(one, HTTPFlow)]
        return Saved(flows, har.read_text(), log.read_text(), file.read_bytes())

    return run


async def calls(port: int) -> None:
    answer = await asked(port, "/backend-api/codex/responses")
    assert b"Hi." in answer.body
    account = await asked(port, "/backend-api/wham/accounts/check", method="GET")
    assert json.loads(account.body)["default_account_id"] == ACCOUNT
    assert (await asked(port, "/backend-api/plugins", method="GET")).status == 404


async def asked(port: int, path: str, **more: Any) -> Answer:
    headers = {
        **{"authorization": f"Bearer {TOKEN}", "cookie": COOKIE, "chatgpt_account_id": ACCOUNT},
        **{"originator": "codex_exec", "host": "chatgpt.com"},
    }
    async with Client.connect(port, tunnel="chatgpt.com") as client:
        return await client.ask(path, HELLO, **{**headers, **more})


def test_no_secret_is_in_any_artefact(saved: Callable[..., Saved]) -> None:
    found = saved()
    everything = found.har + found.log + found.raw.decode("latin-1")
    for secret in PLANTED:
        assert secret not in everything, secret
    assert f"Bearer {MASK}" in found.har


def test_everything_is_there_where_that_is_wanted(saved: Callable[..., Saved]) -> None:
    found = saved(redact="off")
    assert TOKEN in found.raw.decode("latin-1") and ACCOUNT in found.har
    assert KEY not in found.har  # which is no client's, and is added as the request leaves


def test_both_rows_are_in_the_files_in_their_order(saved: Callable[..., Saved]) -> None:
    found = saved()
    client, leg = (flow for flow in found.flows if rows.LEG in flow.metadata)
    assert client.metadata[rows.LEG] == rows.CLIENT and client.metadata[rows.OTHER] == leg.id
    assert client.request.pretty_url == "https://chatgpt.com/backend-api/codex/responses"
    assert leg.request.path == "/v1/chat/completions"
    assert json.loads(leg.request.content or b"")["messages"][0]["content"] == "Hello."
    assert client.response and b"response.completed" in (client.response.content or b"")
    assert leg.response and b"[DONE]" in (leg.response.content or b"")
    urls = [entry["request"]["url"] for entry in json.loads(found.har)["log"]["entries"]]
    both = [client.request.pretty_url, leg.request.pretty_url]
    assert [url for url in urls if url in both] == both


@bounded
async def test_no_secret_is_ever_on_a_flow_or_an_option() -> None:
    watch = Watch()
    chain = chain_of(Redact(), Demo())
    async with upstream(fine) as above:
        chosen = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", "relay_api_key": KEY}
        async with proxy(*chain, watch, **chosen, relay_client_key=CLIENT) as (master, port):
            for _ in range(2):
                bearer = {"authorization": f"Bearer {CLIENT}"}
                answer = await asked(port, "/backend-api/codex/responses", **bearer)
                assert b"Hi." in answer.body
                assert above.seen[-1].headers["authorization"] == f"Bearer {KEY}"
                master.options.update(relay_retries="1")  # settings are read again
            watch.shown += [repr(getattr(master.options, name)) for name in OPTIONS]
    assert len(watch.shown) > 8 + len(OPTIONS) - 1
    for secret in PLANTED:
        assert secret not in "".join(watch.shown), secret


def test_what_passes_to_openai_arrives_whole() -> None:
    """Through the transport, which puts back what the flow does not show."""
    seen: list[dict[str, str]] = []

    def handler(call: Call) -> None:
        seen.append(call.headers)
        call.reply(200, b"{}", set_cookie="a=their-cookie-planted")

    class Divert:
        """OpenAI is this machine's."""

        def request(self, flow: HTTPFlow) -> None:
            flow.request.scheme = "http"
            flow.request.host, flow.request.port = "127.0.0.1", self.port

        port = 0

    divert = Divert()

    async def run() -> None:
        async with upstream(handler) as above:
            divert.port = above.port
            chain = [Config(), Transport(), Guard(), Routes(), Redact(), divert]
            async with proxy(*chain, relay_isolate="off") as (_, port):
                answer = await asked(port, "/backend-api/other")
                assert answer.headers["set-cookie"] == "a=their-cookie-planted"

    bounded(run)()
    assert seen[0]["authorization"] == f"Bearer {TOKEN}"
    assert seen[0]["cookie"] == COOKIE


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnop1234",
        "gsk_abcdefghijklmnop1234",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "AKIAABCDEFGHIJKLMNOP",
        "xoxb-1234567890-abcdef",
        "AIzaSyA1234567890abcdefghijklmnopqrstuv",
        TOKEN,
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_masked(secret: str) -> None:
    assert masked(f"it is {secret}, he said") == f"it is {MASK}, he said"


def test_plain_words_stay() -> None:
    text = "sk-learn, task-force, eyJ, Bearer of news; ask-me-anything-about-this-long-name"
    assert masked(text) == text
    assert masked("my-own-key here", ["my-own-key", ""]) == f"{MASK} here"
    assert redact.mask("Basic abc") == f"Basic {MASK}"
    assert redact.mask("abc def") == f"abc {MASK}"
    assert redact.mask("abc") == MASK


@bounded
async def test_a_key_that_the_provider_says_again_stays_here() -> None:
    def refuses(call: Call) -> None:
        said = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
        call.reply(401, json.dumps(said).encode())

    watch = Watch()
    chain = chain_of(Redact(), Demo())
    async with upstream(refuses) as above:
        chosen = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", "relay_api_key": KEY}
        async with proxy(*chain, watch, **chosen) as (_, port):
            answer = await asked(port, "/backend-api/codex/responses")
    assert answer.status == 400
    assert MASK in answer.body.decode() and KEY not in answer.body.decode()
    assert KEY not in watch.shown[-1]


@bounded
async def test_a_key_in_a_table_of_the_users_is_on_no_flow(tmp_path: Path) -> None:
    above_all: list[str] = []

    def hears(call: Call) -> None:
        above_all.append(call.headers.get("x-api-key", ""))
        fine(call)

    async with upstream(hears) as above:
        file = tmp_path / "relay.toml"
        file.write_text(
            f'[providers.box]\nlike = "vllm"\nbase_urls = ["http://127.0.0.1:{above.port}/v1"]\n'
            f'headers = {{ x-api-key = "{KEY}", x-team = "a" }}\n'
        )
        chain = [Config(), Transport(), Guard(), Routes(), Translator(), Redact(), Demo()]
        chosen = {"relay_config": str(file), "relay_provider": "box"}
        watch = Watch()
        async with proxy(*chain, watch, save_stream_file=str(tmp_path / "f"), **chosen) as (
            _,
            port,
        ):
            answer = await asked(port, "/backend-api/codex/responses")
            while not any("x-team" in shown for shown in watch.shown):
                await asyncio.sleep(0.01)
    assert b"Hi." in answer.body and KEY in above_all
    assert not [shown for shown in watch.shown if KEY in shown]
