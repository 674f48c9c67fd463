"""Failures as the official SDK raises them to Chat clients."""

import time
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)

from tests.deployments import Deployments
from tests.fake_backend import burst_error, overload_event, usage_limit, usage_limit_event
from tests.replies import CUT, RST, Die, Error, Fail, error, pause, say
from tests.sdk.chats import WAYS, ChatClient, at_places, connected_client
from tests.sdk.wire import ConnectionMode

STREAM = pytest.mark.parametrize("stream", [False, True])
SOME = at_places("file by base_url", "vault by proxy", "provider by proxy")
BAD: list[tuple[Any, str]] = [
    ({"messages": "Hello."}, "messages"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ({"tools": [5]}, "tools[0]"),
    ({"model": 5}, "model"),
]
HELLO: Any = {"messages": [{"role": "user", "content": "Hello."}]}


@SOME
@STREAM
@pytest.mark.parametrize(
    ("problem", "raised", "code"),
    [
        (error(400, "bad value"), BadRequestError, "invalid_prompt"),
        (error(403, "not yours"), PermissionDeniedError, "invalid_prompt"),
        (error(404, "no model"), NotFoundError, "invalid_prompt"),
        (error(422, "wrong"), UnprocessableEntityError, "invalid_prompt"),
        (error(402, "Insufficient Balance"), RateLimitError, "insufficient_quota"),
        (error(500, "oops"), InternalServerError, "server_is_overloaded"),
        (error(502, body=b"<html>Bad gateway"), InternalServerError, "server_is_overloaded"),
        (error(503, "busy", retry_after=9), InternalServerError, "server_is_overloaded"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Error) else None,
)
def test_upstreams_error_is_raised(
    problem: Error, raised: type[APIStatusError], code: str, stream: bool, chat_client: ChatClient
) -> None:
    chat_client.deployment.upstream.reply(problem)
    with pytest.raises(raised) as caught:
        chat_client.create(stream=stream)
    assert caught.value.code == code
    assert str(problem.status) in caught.value.message
    assert len(chat_client.deployment.upstream_requests) == 1


@SOME
@STREAM
def test_several_choices_are_refused(stream: bool, chat_client: ChatClient) -> None:
    with pytest.raises(BadRequestError) as caught:
        chat_client.create(n=2, stream=stream)
    assert caught.value.param == "n"
    assert chat_client.deployment.upstream_requests == []


@SOME
def test_bad_request_names_its_field(chat_client: ChatClient) -> None:
    for fields, param in BAD:
        with pytest.raises(BadRequestError) as caught:
            chat_client.create(**fields)
        assert caught.value.param == param
        assert param in caught.value.message
    assert chat_client.deployment.upstream_requests == []


@pytest.mark.parametrize("mode", WAYS)
def test_missing_account_is_an_authentication_error(
    mode: ConnectionMode, deployments: Deployments
) -> None:
    with (
        connected_client(deployments.relay_named("provider"), mode) as client,
        pytest.raises(AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="chatgpt/gpt-5.5", **HELLO)
    assert caught.value.code == "no_account"
    assert "/auth/login" in caught.value.message


@at_places("vault by base_url", "both-account by proxy")
@STREAM
@pytest.mark.parametrize("limit", [usage_limit, usage_limit_event])
def test_usage_limit_is_a_rate_limit_error(
    limit: Any, stream: bool, chat_client: ChatClient, deployments: Deployments
) -> None:
    """With the fields that say when to try again; the relay remembers it and does not ask twice."""
    chat_client.deployment.upstream.reply(limit(resets_in=600))
    try:
        for _ in range(2):
            with pytest.raises(RateLimitError) as caught:
                chat_client.create(stream=stream)
            assert caught.value.type == "usage_limit_reached"
            body: Any = caught.value.body
            assert 590 <= body["resets_in_seconds"] <= 600
            assert 590 <= body["resets_at"] - time.time() <= 601
        assert len(chat_client.deployment.upstream_requests) == 1
    finally:
        deployments.renew_login(chat_client.deployment.relay)


@at_places("vault by base_url")
@pytest.mark.parametrize(
    ("failure", "raised"),
    [(burst_error(), RateLimitError), (overload_event(), InternalServerError)],
)
def test_temporary_failure_is_raised(
    failure: Any, raised: type[APIError], chat_client: ChatClient, deployments: Deployments
) -> None:
    """The relay does not retry here (relay_retries=0), so the client sees the failure."""
    chat_client.deployment.upstream.reply(failure)
    try:
        with pytest.raises(raised):
            chat_client.create()
    finally:
        deployments.renew_login(chat_client.deployment.relay)


@pytest.mark.parametrize("death", [CUT, RST], ids=["cut", "reset"])
def test_lost_upstream_ends_the_stream_with_an_error(death: Die, chat_client: ChatClient) -> None:
    for first in ([], [say("Half a sen"), pause(0.02)]):
        chat_client.deployment.upstream.reply(*first, death)
        with pytest.raises(InternalServerError):
            chat_client.create()
    chat_client.deployment.upstream.reply(say("Half a sen"), pause(0.02), death)
    pieces = []
    with chat_client.create(stream=True) as stream, pytest.raises(APIError):
        for chunk in stream:
            pieces += [choice.delta.content or "" for choice in chunk.choices]
    assert "Half a sen".startswith("".join(pieces)) and any(pieces)


@at_places("file by base_url", "vault by proxy")
def test_failure_in_the_middle_of_a_stream(chat_client: ChatClient) -> None:
    failed = Fail({"code": "server_error", "message": "It broke."})
    chat_client.deployment.upstream.reply(say("So f"), failed)
    with chat_client.create(stream=True) as stream, pytest.raises(APIError, match="It broke"):
        list(stream)


def test_unknown_model_is_not_found(deployments: Deployments) -> None:
    with connected_client(deployments.relay_named("both"), "base_url") as client:
        caught = pytest.raises(NotFoundError, client.models.retrieve, "nobodys")
    assert caught.value.code == "model_not_found"
