"""The official SDK as a Chat client, at each deployment, by base URL or proxy. All that it reads
is checked against its own types, as the SDK itself is far less strict."""

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
from tests.deployments import Deployment, Deployments
from tests.sdk.wire import ConnectionMode, RecordedBody, http_client_options, sdk_options
from tests.translate.support import lawful_chunks

WAYS: tuple[ConnectionMode, ...] = ("base_url", "proxy")
PLACES = (
    "file by base_url",
    "vault by proxy",
    "provider by base_url",
    "provider by proxy",
    "both-account by proxy",
    "both-provider by base_url",
)
ERROR = {"message", "type", "param", "code"}
AskChat = Callable[..., ChatCompletion]


@dataclass(frozen=True)
class ChatClient:
    """A client, and the deployment that it talks to."""

    client: OpenAI
    deployment: Deployment
    mode: ConnectionMode

    @property
    def create(self) -> Callable[..., Any]:
        """`chat.completions.create` for the deployment's model; the default prompt is Hello."""

        def create(prompt: str = "Hello.", **fields: Any) -> Any:
            return self.client.chat.completions.create(
                **chat_fields(self.deployment, prompt, fields)
            )

        return create


def chat_fields(deployment: Deployment, prompt: str, fields: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": deployment.model, "messages": messages, **fields}


@contextmanager
def connected_client(relay: Relay, mode: ConnectionMode) -> Iterator[OpenAI]:
    recorded: list[tuple[httpx2.Response, RecordedBody]] = []

    def record(response: httpx2.Response) -> None:
        response.stream = body = RecordedBody(response.stream)
        recorded.append((response, body))

    with httpx2.Client(
        **http_client_options(relay, mode), event_hooks={"response": [record]}
    ) as http:
        yield OpenAI(**sdk_options(relay, mode), http_client=http)
    for response, body in recorded:
        check_chat_body(response, body.data)


def check_chat_body(response: httpx2.Response, body: bytes) -> None:
    path, kind = response.request.url.path, response.headers["content-type"]
    if response.status_code >= 400:
        assert json.loads(body)["error"].keys() >= ERROR
    elif kind == "text/event-stream":
        if body.endswith(b"data: [DONE]\n\n"):  # the client has read all of it
            lawful_chunks(body)
    elif path.endswith("/models"):
        for entry in json.loads(body)["data"]:
            Model.model_validate(entry)
    elif "/models/" in path:
        Model.model_validate_json(body)
    elif path.endswith("/chat/completions"):
        ChatCompletion.model_validate_json(body)


def at_places(*places: str) -> pytest.MarkDecorator:
    """Only at these places: `at_places("vault by proxy", "provider by base_url")`."""
    return pytest.mark.parametrize("chat_client", places, indirect=True)


@pytest.fixture(params=PLACES)
def chat_client(request: pytest.FixtureRequest, deployments: Deployments) -> Iterator[ChatClient]:
    name, _, mode = request.param.partition(" by ")
    deployment = deployments.deployment(name)
    with connected_client(deployment.relay, mode) as client:
        yield ChatClient(client, deployment, mode)


def answer_at_once(desk: ChatClient, **fields: Any) -> ChatCompletion:
    answer: ChatCompletion = desk.client.chat.completions.create(**fields)
    return answer


def answer_by_helper(desk: ChatClient, **fields: Any) -> ChatCompletion:
    usage = {"include_usage": True}
    with desk.client.chat.completions.stream(**fields, stream_options=usage) as stream:
        return stream.get_final_completion()


@pytest.fixture(params=[answer_at_once, answer_by_helper])
def ask_chat(request: pytest.FixtureRequest, chat_client: ChatClient) -> AskChat:
    """`ask_chat("Hello.", **fields)`: the answer, sent whole or assembled by the SDK's helper."""

    def ask(prompt: str = "Hello.", **fields: Any) -> ChatCompletion:
        answer: ChatCompletion = request.param(
            chat_client, **chat_fields(chat_client.deployment, prompt, fields)
        )
        return answer

    return ask
