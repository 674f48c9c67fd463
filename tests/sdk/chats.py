"""The official SDK as a Chat client, at each home of tests/house.py and in both ways to it; all
that it reads is checked against its own types, which it takes far less strictly itself."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types import Model
from openai.types.chat import ChatCompletion

from tests.codex.driver import Relay
from tests.house import Home, Houses
from tests.sdk.wire import Kept, Way, options, settings
from tests.translate.support import lawful_chunks

WAYS: tuple[Way, ...] = ("base_url", "proxy")
PLACES = (
    "file by base_url",
    "vault by proxy",
    "provider by base_url",
    "provider by proxy",
    "both-account by proxy",
    "both-provider by base_url",
)
ERROR = {"message", "type", "param", "code"}
Answer = Callable[..., ChatCompletion]


@dataclass(frozen=True)
class Desk:
    """A client, and what is behind it."""

    client: OpenAI
    home: Home
    way: Way

    @property
    def create(self) -> Callable[..., Any]:
        """`chat.completions.create` for this home's model; says Hello if told nothing else."""

        def created(prompt: str = "Hello.", **fields: Any) -> Any:
            return self.client.chat.completions.create(**asking(self.home, prompt, fields))

        return created


def asking(home: Home, prompt: str, fields: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": home.model, "messages": messages, **fields}


@contextmanager
def connected(relay: Relay, way: Way) -> Iterator[OpenAI]:
    kept: list[tuple[httpx2.Response, Kept]] = []

    def keep(response: httpx2.Response) -> None:
        response.stream = body = Kept(response.stream)
        kept.append((response, body))

    with httpx2.Client(**options(relay, way), event_hooks={"response": [keep]}) as http:
        yield OpenAI(**settings(relay, way), http_client=http)
    for response, body in kept:
        check(response, body.data)


def check(response: httpx2.Response, body: bytes) -> None:
    path, kind = response.request.url.path, response.headers["content-type"]
    if response.status_code >= 400:
        assert json.loads(body)["error"].keys() >= ERROR
    elif kind == "text/event-stream":
        if body.endswith(b"data: [DONE]\n\n"):  # the client read it to its end
            lawful_chunks(body)
    elif path.endswith("/models"):
        for entry in json.loads(body)["data"]:
            Model.model_validate(entry)
    elif "/models/" in path:
        Model.model_validate_json(body)
    elif path.endswith("/chat/completions"):
        ChatCompletion.model_validate_json(body)


def at(*places: str) -> pytest.MarkDecorator:
    """At these places alone: `at("vault by proxy", "provider by base_url")`."""
    return pytest.mark.parametrize("desk", places, indirect=True)


@pytest.fixture(params=PLACES)
def desk(request: pytest.FixtureRequest, houses: Houses) -> Iterator[Desk]:
    name, _, way = request.param.partition(" by ")
    home = houses.home(name)
    with connected(home.relay, way) as client:
        yield Desk(client, home, way)


def in_one_piece(desk: Desk, **fields: Any) -> ChatCompletion:
    answer: ChatCompletion = desk.client.chat.completions.create(**fields)
    return answer


def by_helper(desk: Desk, **fields: Any) -> ChatCompletion:
    usage = {"include_usage": True}
    with desk.client.chat.completions.stream(**fields, stream_options=usage) as stream:
        return stream.get_final_completion()


@pytest.fixture(params=[in_one_piece, by_helper])
def answer(request: pytest.FixtureRequest, desk: Desk) -> Answer:
    """`answer("Hello.", **fields)`, whole or put together from its stream by the SDK."""

    def answered(prompt: str = "Hello.", **fields: Any) -> ChatCompletion:
        made: ChatCompletion = request.param(desk, **asking(desk.home, prompt, fields))
        return made

    return answered
