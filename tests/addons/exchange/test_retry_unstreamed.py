"""A stream without one event is asked for once more in one piece, over real sockets."""

import json
import threading
from typing import Any

import pytest

from addons.flow_data import ATTEMPTS
from tests.addons.exchange.test_addon import (
    ask,
    ask_once,
    completed_text,
    error_of,
    refuses,
    relay,
    says,
    stream_error,
)
from tests.addons.proxy import Call, Client, Handler, bounded
from translate import Exchange

# llama-cpp-python 0.3.36 at a full context, which streams nothing at all
FULL_CONTEXT = (
    b'{"error": {"message": "This model\'s maximum context length is 512 tokens, however you'
    b' requested 1067 tokens.", "type": "invalid_request_error", "param": "messages", "code":'
    b' "context_length_exceeded"}}'
)
WHOLE = json.dumps(
    {"choices": [{"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}]}
).encode()


def by_stream(streamed: Handler, whole: Handler) -> Handler:
    """A server that answers streamed and whole requests differently."""

    def handler(call: Call) -> Any:
        return (streamed if json.loads(call.body)["stream"] else whole)(call)

    return handler


def empty_stream(call: Call) -> None:
    call.stream(b": ping\n\n")
    call.end()


def requested_streams(calls: list[Call]) -> list[bool]:
    return [json.loads(call.body)["stream"] for call in calls]


@bounded
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("streamed", [empty_stream, lambda call: call.reply(200)])
async def test_client_gets_the_reason_of_an_empty_stream(streamed: Handler, stream: bool) -> None:
    async with relay(by_stream(streamed, refuses(400, FULL_CONTEXT))) as (above, port):
        answer = await ask_once(port, stream=stream)
    error = error_of(answer) if answer.status == 400 else stream_error(answer)
    assert error["code"] == "context_length_exceeded" and "512 tokens" in error["message"]
    assert requested_streams(list(above.seen)) == [True, False]
    whole = above.seen[1]
    assert int(whole.headers["content-length"]) == len(whole.body)
    assert "stream_options" not in json.loads(whole.body)


@bounded
@pytest.mark.parametrize("stream", [True, False])
async def test_good_whole_reply_is_served(stream: bool) -> None:
    whole: Handler = lambda call: call.reply(200, WHOLE, content_type="application/json")  # noqa: E731
    async with relay(by_stream(empty_stream, whole), relay_retries="0") as (above, port):
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."
        assert requested_streams(list(above.seen)) == [True, False]
        assert completed_text(await ask_once(port, stream=stream)) == "Hi."
        assert requested_streams(list(above.seen)) == [True, False] * 2


@bounded
async def test_refusal_to_answer_without_a_stream_is_not_the_reason() -> None:
    refusal = refuses(400, b'{"error": {"message": "This model only supports stream mode."}}')
    handlers = [empty_stream, refusal, says("At last.")]
    async with relay(*handlers, relay_retries="3,20s") as (above, port):
        assert completed_text(await ask_once(port)) == "At last."
    assert requested_streams(list(above.seen)) == [True, False, True]


@bounded
async def test_words_about_an_upstream_are_a_reason() -> None:
    handlers = [empty_stream, refuses(400, b'{"error": {"message": "The upstream said no."}}')]
    async with relay(*handlers) as (above, port):
        answer = await ask_once(port)
    error = error_of(answer) if answer.status == 400 else stream_error(answer)
    assert "The upstream said no." in error["message"] and len(above.seen) == 2


@bounded
async def test_whole_reply_is_asked_for_once() -> None:
    async with relay(empty_stream, relay_retries="2,20s") as (above, port):
        assert stream_error(await ask_once(port))["code"] == "server_error"
    assert requested_streams(list(above.seen)) == [True, False, True]


@bounded
async def test_stream_with_an_event_is_not_asked_for_in_one_piece() -> None:
    def opening(call: Call) -> None:
        call.stream(b'data: {"choices": [{"delta": {"role": "assistant"}}]}\n\n')
        call.end()

    async with relay(opening, relay_retries="1,20s") as (above, port):
        await ask_once(port)
    assert requested_streams(list(above.seen)) == [True, True]


@bounded
async def test_attempt_is_noted_on_the_flow() -> None:
    class Watch:
        attempts: list[list[str]] = []

        def response(self, flow: Any) -> None:
            if ATTEMPTS in flow.metadata:
                self.attempts.append(flow.metadata[ATTEMPTS])

    watch = Watch()
    whole: Handler = lambda call: call.reply(200, WHOLE)  # noqa: E731
    options: Any = {"extra_addons": [watch]}
    async with (
        relay(by_stream(empty_stream, whole), **options) as (_, port),
        Client.connect(port) as client,
    ):
        await ask(client)
    assert watch.attempts == [["after the reply is an empty stream, 0.0 s"]]


@bounded
async def test_large_request_is_written_anew_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[bool] = []
    body = Exchange.unstreamed_body.fget
    assert body

    def write_and_record(self: Exchange) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return body(self)

    monkeypatch.setattr(Exchange, "unstreamed_body", property(write_and_record))
    whole: Handler = lambda call: call.reply(200, WHOLE)  # noqa: E731
    async with relay(by_stream(empty_stream, whole), relay_retries="0") as (above, port):
        for content in ("Hello.", "x" * 1_100_000):
            assert completed_text(await ask_once(port, input=content)) == "Hi."
    assert threads == [True, False]
    assert requested_streams(list(above.seen)) == [True, False] * 2
