"""The official SDK at a relay that is started as users do. All that the SDK reads is checked."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import InputTokenCountResponse, Response

from tests.codex.conftest import provider, upstream
from tests.codex.driver import Relay
from tests.fake_provider import FakeProvider
from tests.sdk.chats import ask_chat, chat_client
from tests.sdk.wire import ConnectionMode, RecordedBody, http_client_options, sdk_options
from tests.translate.support import lawful_events

__all__ = ["ask_chat", "chat_client", "provider", "upstream"]

Ask = Callable[..., Response]


@pytest.fixture(scope="session")
def relay(upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay without retries, so that the SDK gets the provider's first reply."""
    folder, key = tmp_path_factory.mktemp("relay"), upstream.key or ""
    relay = Relay(folder, upstream=upstream.url, api_key=key, retries="0", heartbeat="0.5")
    yield relay
    relay.stop()


@pytest.fixture(params=["base_url", "proxy"])
def client(request: pytest.FixtureRequest, relay: Relay) -> Iterator[OpenAI]:
    recorded: list[tuple[httpx2.Response, RecordedBody]] = []

    def record(response: httpx2.Response) -> None:
        response.stream = body = RecordedBody(response.stream)
        recorded.append((response, body))

    mode: ConnectionMode = request.param
    with httpx2.Client(
        **http_client_options(relay, mode), event_hooks={"response": [record]}
    ) as http:
        yield OpenAI(**sdk_options(relay, mode), http_client=http)
    for response, body in recorded:
        check_responses_body(response, body.data)


def check_responses_body(response: httpx2.Response, body: bytes) -> None:
    """Check every event and body against the SDK's types, which the SDK itself does not."""
    kind = response.headers["content-type"]
    if response.status_code >= 400:
        assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    elif response.request.url.path.endswith("/input_tokens"):
        InputTokenCountResponse.model_validate_json(body)
    elif response.request.method == "POST" and kind == "application/json":
        Response.model_validate_json(body)
    elif kind == "text/event-stream" and is_complete_stream(body):
        lawful_events(body)


def is_complete_stream(stream: bytes) -> bool:
    """Whether the client has read all of the stream."""
    return b"event: response." in stream and any(
        f"event: response.{end}\n".encode() in stream
        for end in ("completed", "incomplete", "failed")
    )


@pytest.fixture
def new_async_client(relay: Relay) -> Callable[[ConnectionMode], AsyncOpenAI]:
    """Makes asynchronous clients, which the test closes."""

    def make(mode: ConnectionMode) -> AsyncOpenAI:
        http = httpx2.AsyncClient(**http_client_options(relay, mode))
        return AsyncOpenAI(**sdk_options(relay, mode), http_client=http)

    return make


def ask_at_once(client: OpenAI, **fields: Any) -> Response:
    response: Response = client.responses.create(**fields)
    return response


def ask_by_events(client: OpenAI, **fields: Any) -> Response:
    with client.responses.create(stream=True, **fields) as stream:
        last = [event for event in stream][-1]
    response: Response = last.response
    return response


def ask_by_helper(client: OpenAI, **fields: Any) -> Response:
    with client.responses.stream(**fields) as stream:
        response: Response = stream.get_final_response()
        return response


@pytest.fixture(params=[ask_at_once, ask_by_events, ask_by_helper])
def ask(request: pytest.FixtureRequest, client: OpenAI) -> Ask:
    """`ask(input=…)` by each of the SDK's three methods, by base URL and by proxy."""

    def ask_with(**fields: Any) -> Response:
        response: Response = request.param(client, **{"model": "gpt-5.5", **fields})
        return response

    return ask_with
