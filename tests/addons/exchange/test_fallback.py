"""A provider that refuses a field gets this and later requests without it; a candidate that fails
is followed by the next one."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from addons import large_work
from addons.demo_provider import DemoProvider
from addons.exchange import fallback
from tests.addons.chain import exchange_addons
from tests.addons.proxy import Answer, Call, Client, Upstream, bounded, proxy, upstream
from tests.translate.support import GENERIC, chunk, context_for, provider
from tests.translate.support import stream as chat
from translate import Exchange, Provider, start_exchange


@pytest.fixture(autouse=True)
def forget_lessons() -> None:
    fallback._learned_profiles.clear()


def refusing(*names: str) -> Any:
    """A provider that refuses these fields; its error names the first one in the request."""

    def handler(call: Call) -> None:
        body = json.loads(call.body)
        if refused := [name for name in names if name in body]:
            error = {"error": {"message": f"property '{refused[0]}' is unsupported"}}
            call.reply(400, json.dumps(error).encode())
        else:
            call.stream(chat(chunk(content="Hi."), chunk("stop")))
            call.end()

    return handler


@asynccontextmanager
async def relay(handler: Any, **options: str) -> AsyncIterator[tuple[Any, int, Upstream]]:
    chain = exchange_addons(DemoProvider())
    async with upstream(handler) as above:
        chosen = {"relay_upstream": f"http://127.0.0.1:{above.port}/v1", **options}
        async with proxy(*chain, **chosen) as (master, port):
            yield master, port, above


async def ask(port: int, **extra_fields: Any) -> Answer:
    body = {"model": "m", "input": "Hello.", "temperature": 0.5, "seed": 1, **extra_fields}
    async with Client.connect(port) as client:
        return await client.ask("/v1/responses", json.dumps(body).encode())


def fields(above: Upstream) -> list[set[str]]:
    return [json.loads(call.body).keys() & {"temperature", "seed"} for call in above.seen]


class Comments:
    """Collects the comment of each flow that ends."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def response(self, flow: Any) -> None:
        self.texts.append(flow.comment)


@pytest.mark.parametrize("stream", [True, False])
def test_refused_field_is_omitted_and_remembered(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        comments = Comments()
        async with relay(refusing("temperature")) as (master, port, above):
            master.addons.add(comments)
            for _ in range(2):
                answer = await ask(port, stream=stream)
                assert answer.status == 200
                assert b"Hi." in answer.body
                assert answer.headers["x-relay-dropped"] == "temperature"
                if stream:
                    assert answer.body.count(b"event: response.created") == 1
        assert fields(above) == [{"temperature", "seed"}, {"seed"}, {"seed"}]
        first, second = comments.texts
        assert "learned: without temperature" in first
        assert "learned" not in second and "dropped temperature" in second

    with caplog.at_level(logging.WARNING):
        bounded(run)()
    [line] = [message for message in caplog.messages if "refused" in message]
    assert line.endswith("now without temperature")


@bounded
async def test_request_is_sent_again_only_once() -> None:
    async with relay(refusing("temperature", "seed")) as (_, port, above):
        answer = await ask(port)
        assert answer.status == 400
        assert "seed" in json.loads(answer.body)["error"]["message"]
        assert fields(above) == [{"temperature", "seed"}, {"seed"}]
        assert (await ask(port)).status == 200  # the lessons of both refusals apply now
        assert fields(above)[2:] == [set()]


@bounded
async def test_lesson_applies_to_one_model() -> None:
    async with relay(refusing("temperature")) as (_, port, above):
        await ask(port)
        await ask(port, model="other")
        assert fields(above) == [{"temperature", "seed"}, {"seed"}] * 2


@bounded
async def test_lesson_ends_when_the_profile_changes() -> None:
    async with relay(refusing("temperature")) as (master, port, above):
        await ask(port)
        master.options.update(relay_tools_off="x")
        await ask(port)
        assert fields(above) == [{"temperature", "seed"}, {"seed"}] * 2


@bounded
async def test_request_is_not_sent_again_once_the_client_has_a_head() -> None:
    async def slow(call: Call) -> None:
        await asyncio.sleep(0.4)
        refusing("temperature")(call)

    async with relay(slow, relay_heartbeat="0.1") as (_, port, above):
        answer = await ask(port, stream=True)
        assert answer.status == 200
        assert b"response.failed" in answer.body and b"temperature" in answer.body
        assert len(above.seen) == 1


@pytest.mark.parametrize(
    ("models", "status"),
    [("one two three", 200), ("one two", 503), ("two three", 200), ("two", 400)],
)
@bounded
async def test_candidate_whose_provider_cannot_take_the_request_is_skipped(
    tmp_path: Path, models: str, status: int
) -> None:
    def overloaded(call: Call) -> None:
        call.reply(503, b'{"error": {"message": "busy"}}')

    names = ", ".join(f'"{name}/m"' for name in models.split())
    async with upstream(overloaded) as one, upstream(refusing()) as three:
        file = tmp_path / "relay.toml"
        file.write_text(
            f"[model_map]\nboth = [{names}]\n"
            f'[providers.one]\nbase_urls = ["http://127.0.0.1:{one.port}/v1"]\n'
            '[providers.two]\nbase_urls = ["http://127.0.0.1:9/v1"]\ntools_limit = 1\n'
            f'[providers.three]\nbase_urls = ["http://127.0.0.1:{three.port}/v1"]\n'
        )
        chain = exchange_addons(DemoProvider())
        options = {"relay_provider": "one", "relay_config": str(file), "relay_retries": "0"}
        async with proxy(*chain, **options) as (_, port):
            tools = [{"type": "function", "name": name} for name in ("f", "g")]
            answer = await ask(port, model="both", tools=tools)
    assert answer.status == status
    requests = [call.request_line.split()[0] for call in (*one.seen, *three.seen)]
    assert requests.count("POST") == len(models.split()) - 1


LARGE_INPUT = [{"role": "user", "content": "x" * 3_000} for _ in range(400)]


@pytest.fixture
def work_threads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The translations and the lessons, each with whether it was in the event loop's thread."""
    threads: list[tuple[str, bool]] = []
    translate_request, read_lesson = Exchange._translate_request, fallback.read_lesson

    def translate_and_record(self: Exchange, *arguments: Any) -> Any:
        threads.append(("request", threading.current_thread() is threading.main_thread()))
        return translate_request(self, *arguments)

    def read_and_record(*arguments: Any) -> Any:
        threads.append(("lesson", threading.current_thread() is threading.main_thread()))
        return read_lesson(*arguments)

    monkeypatch.setattr(Exchange, "_translate_request", translate_and_record)
    monkeypatch.setattr(fallback, "read_lesson", read_and_record)
    return threads


@pytest.mark.parametrize(("content", "in_loop"), [("Hello.", True), (LARGE_INPUT, False)])
@bounded
async def test_large_request_is_sent_again_without_work_in_the_event_loop(
    content: Any, in_loop: bool, work_threads: list[tuple[str, bool]]
) -> None:
    async with relay(refusing("temperature")) as (_, port, above):
        assert (await ask(port, input=content)).status == 200
    assert fields(above) == [{"temperature", "seed"}, {"seed"}]
    assert work_threads == [(work, in_loop) for work in ("request", "lesson", "request")]


@pytest.mark.parametrize(("content", "in_loop"), [("Hello.", True), (LARGE_INPUT, False)])
@bounded
async def test_large_request_is_built_once_for_the_next_candidate(
    tmp_path: Path, content: Any, in_loop: bool, work_threads: list[tuple[str, bool]]
) -> None:
    async with upstream(refusing()) as server:
        file = tmp_path / "relay.toml"
        file.write_text(
            '[model_map]\nboth = ["one/m", "two/m"]\n'
            '[providers.one]\nbase_urls = ["http://127.0.0.1:9/v1"]\n'
            f'[providers.two]\nbase_urls = ["http://127.0.0.1:{server.port}/v1"]\n'
        )
        options = {"relay_provider": "one", "relay_config": str(file), "relay_retries": "0"}
        async with proxy(*exchange_addons(DemoProvider()), **options) as (_, port):
            assert (await ask(port, model="both", input=content)).status == 200
    assert work_threads == [("request", in_loop)] * 2


@bounded
async def test_request_that_the_threads_cannot_take_gets_its_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fill_queue(call: Call) -> None:
        monkeypatch.setattr(large_work, "QUEUE_BYTES", 0)
        monkeypatch.setattr(large_work, "_queued_bytes", 1)
        refusing("temperature")(call)

    async with relay(fill_queue) as (_, port, above):
        answer = await ask(port, input=LARGE_INPUT)
        assert answer.status == 400 and "temperature" in json.loads(answer.body)["error"]["message"]
        assert len(above.seen) == 1
        answer = await ask(port, input=LARGE_INPUT)
        error = json.loads(answer.body)["error"]
        assert answer.status == 503 and error["code"] == "server_is_overloaded"
    assert any("too many large requests" in message for message in caplog.messages)


def test_loss_is_new_once_and_not_remembered_for_ever() -> None:
    fallback._known_losses.clear()
    tools = [{"type": "web_search", "filters": {"x": 1}}, {"type": "function", "name": "f"}]
    off = provider(tools_off=["f"], web_search={"tool": {"type": "s"}})

    def is_new(to: Provider, model: str) -> bool:
        request = {"model": "m", "input": "Hello.", "tools": tools}
        return fallback.has_new_loss(
            start_exchange(request, client="responses", context=context_for(to, model))
        )

    assert not is_new(off, "m")  # the user's own choice is no loss
    assert [is_new(GENERIC, model) for model in "mmnm"] == [True, False, True, False]
    for number in range(2 * fallback.MEMORY_LIMIT):
        request = {"model": "m", "input": "Hello.", "tools": [{"type": f"hosted_{number}"}]}
        fallback.has_new_loss(start_exchange(request, client="responses", context=context_for()))
        assert len(fallback._known_losses) <= fallback.MEMORY_LIMIT
