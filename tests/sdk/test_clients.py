"""Many clients at the same time, and clients that leave."""

import asyncio
from collections.abc import Callable

import pytest
from openai import APITimeoutError, AsyncOpenAI, OpenAI

from tests.codex.driver import API_KEY, Relay
from tests.fake_provider import FakeProvider
from tests.replies import Pause, pause, say
from tests.sdk.wire import ConnectionMode, sdk_options

NewAsync = Callable[[ConnectionMode], AsyncOpenAI]
SOON = 2.0  # s until the provider sees that the client left; far less on an idle machine
LONG = Pause(30)
HELLO = {"model": "gpt-5.5", "input": "Hello."}


@pytest.mark.parametrize("mode", ["base_url", "proxy"])
def test_twenty_streams_at_once(
    mode: ConnectionMode, new_async_client: NewAsync, provider: FakeProvider
) -> None:
    for _ in range(20):
        provider.reply(say("You said: "), pause(0.8), lambda request: say(request.prompt))

    async def ask(client: AsyncOpenAI, number: int, opening: asyncio.Lock) -> tuple[str, str]:
        prompt = f"{number} {'x' * number}"
        async with opening:  # the provider's http.server queues five connections, no more
            stream = await client.responses.create(model="gpt-5.5", input=prompt, stream=True)
        events = [event async for event in stream]
        deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
        assert events[-1].type == "response.completed"
        final = events[-1].response
        assert "".join(deltas) == final.output_text == f"You said: {prompt}"
        return final.id, final.output[-1].id or ""

    async def run() -> list[tuple[str, str]]:
        opening = asyncio.Lock()
        async with new_async_client(mode) as client:
            return await asyncio.gather(*(ask(client, n, opening) for n in range(20)))

    ids = asyncio.run(run())
    assert len(set(ids)) == 20


def test_stream_that_the_client_closes_ends_upstream(
    client: OpenAI, provider: FakeProvider
) -> None:
    provider.reply(say("Well, then"), LONG)
    with client.responses.create(**HELLO, stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    [request] = provider.posted_requests
    provider.wait_until(lambda: request.client_left_at is not None, SOON)


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_times_out_ends_the_request_upstream(
    stream: bool, client: OpenAI, provider: FakeProvider
) -> None:
    """Before the first byte, and so before the relay's first heartbeat."""
    provider.reply(say("Never heard."), delay=30)
    with pytest.raises(APITimeoutError):
        client.responses.create(**HELLO, stream=stream, timeout=0.3)
    [request] = provider.posted_requests
    provider.wait_until(lambda: request.client_left_at is not None, SOON)


@pytest.mark.parametrize("mode", ["base_url", "proxy"])
def test_cancelled_task_ends_the_request_upstream(
    mode: ConnectionMode, new_async_client: NewAsync, provider: FakeProvider
) -> None:
    provider.reply(say("Well, then"), LONG)

    async def run() -> None:
        async with new_async_client(mode) as client:
            speaking = asyncio.Event()

            async def listen() -> None:
                async with client.responses.stream(**HELLO) as stream:
                    async for event in stream:
                        if event.type == "response.output_text.delta":
                            speaking.set()

            task = asyncio.create_task(listen())
            await speaking.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            [request] = provider.posted_requests
            await asyncio.to_thread(
                provider.wait_until, lambda: request.client_left_at is not None, SOON
            )

    asyncio.run(run())


def test_client_that_leaves_does_not_disturb_others(client: OpenAI, provider: FakeProvider) -> None:
    """They share the relay's connections, and here also the client's."""
    for _ in range(3):
        provider.reply(say("Well, then"), LONG)
        with client.responses.create(**HELLO, stream=True) as stream:
            next(iter(stream))
        provider.reply(say("Here I am."))
        assert client.responses.create(**HELLO).output_text == "Here I am."


def test_models_of_the_provider_are_listed(relay: Relay, provider: FakeProvider) -> None:
    with OpenAI(**sdk_options(relay, "base_url")) as client:
        assert [model.id for model in client.models.list()] == provider.models


def test_openai_key_never_reaches_the_provider(client: OpenAI, provider: FakeProvider) -> None:
    """The provider refuses all keys but its own, and headers of the client."""
    provider.reply(say("Hi."))
    client.responses.create(**HELLO, extra_headers={"OpenAI-Organization": "org-x"})
    assert API_KEY not in str(provider.posted_requests[0].headers)
