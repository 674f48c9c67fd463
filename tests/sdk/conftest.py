"""The official SDK before the relay as a user starts it; all that it reads is checked."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response

from tests.codex.conftest import provider, upstream
from tests.codex.driver import Relay
from tests.fake_provider import FakeProvider
from tests.sdk.chats import answer, desk
from tests.sdk.wire import Kept, Way, options, settings
from tests.translate.support import lawful

__all__ = ["answer", "desk", "provider", "upstream"]

Ask = Callable[..., Response]


@pytest.fixture(scope="session")
def relay(upstream: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Tries once, so that the SDK sees what the provider says."""
    folder, key = tmp_path_factory.mktemp("relay"), upstream.key or ""
    relay = Relay(folder, upstream=upstream.url, api_key=key, retries="0", heartbeat="0.5")
    yield relay
    relay.stop()


@pytest.fixture(params=["base_url", "proxy"])
def client(request: pytest.FixtureRequest, relay: Relay) -> Iterator[OpenAI]:
    kept: list[tuple[httpx2.Response, Kept]] = []

    def keep(response: httpx2.Response) -> None:
        response.stream = body = Kept(response.stream)
        kept.append((response, body))

    way: Way = request.param
    with httpx2.Client(**options(relay, way), event_hooks={"response": [keep]}) as http:
        yield OpenAI(**settings(relay, way), http_client=http)
    for response, body in kept:
        check(response, body.data)


def check(response: httpx2.Response, body: bytes) -> None:
    """Every event and body against the SDK's types: it takes far less strictly what it reads."""
    kind = response.headers["content-type"]
    if response.status_code >= 400:
        assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    elif response.request.method == "POST" and kind == "application/json":
        Response.model_validate_json(body)
    elif kind == "text/event-stream" and is_whole(body):
        lawful(body)


def is_whole(stream: bytes) -> bool:
    """Whether the client read it to its end."""
    return b"event: response." in stream and any(
        f"event: response.{end}\n".encode() in stream
        for end in ("completed", "incomplete", "failed")
    )


@pytest.fixture
def new_async(relay: Relay) -> Callable[[Way], AsyncOpenAI]:
    """To be closed by the test."""

    def make(way: Way) -> AsyncOpenAI:
        http = httpx2.AsyncClient(**options(relay, way))
        return AsyncOpenAI(**settings(relay, way), http_client=http)

    return make


def in_one_piece(client: OpenAI, **fields: Any) -> Response:
    response: Response = client.responses.create(**fields)
    return response


def by_events(client: OpenAI, **fields: Any) -> Response:
    with client.responses.create(stream=True, **fields) as stream:
        last = [event for event in stream][-1]
    response: Response = last.response
    return response


def by_helper(client: OpenAI, **fields: Any) -> Response:
    with client.responses.stream(**fields) as stream:
        response: Response = stream.get_final_response()
        return response


@pytest.fixture(params=[in_one_piece, by_events, by_helper])
def ask(request: pytest.FixtureRequest, client: OpenAI) -> Ask:
    """`ask(input=…)` by each of the SDK's three ways to a response, in both ways to the relay."""

    def asked(**fields: Any) -> Response:
        response: Response = request.param(client, **{"model": "gpt-5.5", **fields})
        return response

    return asked
