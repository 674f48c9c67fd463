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
    RateLimitError,
)

from tests.fake_backend import burst, overloaded, spent, usage_limit
from tests.house import Houses
from tests.replies import CUT, RST, Die, Error, Fail, error, pause, say
from tests.sdk.chats import WAYS, Desk, at, connected
from tests.sdk.wire import Way

STREAM = pytest.mark.parametrize("stream", [False, True])
SOME = at("file by base_url", "vault by proxy", "provider by proxy")
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
        (error(404, "no model"), BadRequestError, "invalid_prompt"),
        (error(402, "Insufficient Balance"), RateLimitError, "insufficient_quota"),
        (error(500, "oops"), InternalServerError, "server_is_overloaded"),
        (error(502, body=b"<html>Bad gateway"), InternalServerError, "server_is_overloaded"),
        (error(503, "busy", retry_after=9), InternalServerError, "server_is_overloaded"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Error) else None,
)
def test_an_upstreams_error(
    problem: Error, raised: type[APIStatusError], code: str, stream: bool, desk: Desk
) -> None:
    desk.home.fake.reply(problem)
    with pytest.raises(raised) as caught:
        desk.create(stream=stream)
    assert caught.value.code == code
    assert str(problem.status) in caught.value.message
    assert len(desk.home.asked) == 1


@SOME
@STREAM
def test_several_answers_are_refused(stream: bool, desk: Desk) -> None:
    with pytest.raises(BadRequestError) as caught:
        desk.create(n=2, stream=stream)
    assert caught.value.param == "n"
    assert desk.home.asked == []


@SOME
def test_a_bad_request_names_its_field(desk: Desk) -> None:
    for fields, param in BAD:
        with pytest.raises(BadRequestError) as caught:
            desk.create(**fields)
        assert caught.value.param == param
        assert param in caught.value.message
    assert desk.home.asked == []


@pytest.mark.parametrize("way", WAYS)
def test_without_an_account(way: Way, houses: Houses) -> None:
    """By proxy as 400: at a 401 clients renew a login of their own."""
    raised = AuthenticationError if way == "base_url" else BadRequestError
    with connected(houses.relay("provider"), way) as client, pytest.raises(raised) as caught:
        client.chat.completions.create(model="chatgpt/gpt-5.5", **HELLO)
    assert caught.value.code == "no_account"
    assert "/auth/login" in caught.value.message


@at("vault by base_url", "both-account by proxy")
@STREAM
@pytest.mark.parametrize("told", [usage_limit, spent])
def test_a_usage_limit(told: Any, stream: bool, desk: Desk, houses: Houses) -> None:
    """With the fields by which Codex tells when to come back; learned, so not asked twice."""
    desk.home.fake.reply(told(resets_in=600))
    try:
        for _ in range(2):
            with pytest.raises(RateLimitError) as caught:
                desk.create(stream=stream)
            assert caught.value.type == "usage_limit_reached"
            body: Any = caught.value.body
            assert 590 <= body["resets_in_seconds"] <= 600
            assert 590 <= body["resets_at"] - time.time() <= 601
        assert len(desk.home.asked) == 1
    finally:
        houses.log_in_anew(desk.home.relay)


@at("vault by base_url")
@pytest.mark.parametrize(
    ("told", "raised"), [(burst(), RateLimitError), (overloaded(), InternalServerError)]
)
def test_what_passes(told: Any, raised: type[APIError], desk: Desk, houses: Houses) -> None:
    """The relay tries no second time here (relay_retries=0), so the client sees it."""
    desk.home.fake.reply(told)
    try:
        with pytest.raises(raised):
            desk.create()
    finally:
        houses.log_in_anew(desk.home.relay)


@pytest.mark.parametrize("death", [CUT, RST], ids=["cut", "reset"])
def test_an_upstream_that_dies(death: Die, desk: Desk) -> None:
    for first in ([], [say("Half a sen"), pause(0.02)]):
        desk.home.fake.reply(*first, death)
        with pytest.raises(InternalServerError):
            desk.create()
    desk.home.fake.reply(say("Half a sen"), pause(0.02), death)
    told = []
    with desk.create(stream=True) as stream, pytest.raises(APIError):
        for chunk in stream:
            told += [choice.delta.content or "" for choice in chunk.choices]
    assert "Half a sen".startswith("".join(told)) and any(told)


@at("file by base_url", "vault by proxy")
def test_a_failure_in_the_middle(desk: Desk) -> None:
    failed = Fail({"code": "server_error", "message": "It broke."})
    desk.home.fake.reply(say("So f"), failed)
    with desk.create(stream=True) as stream, pytest.raises(APIError, match="It broke"):
        list(stream)


def test_an_unknown_model_has_no_entry(houses: Houses) -> None:
    with connected(houses.relay("both"), "base_url") as client:
        caught = pytest.raises(NotFoundError, client.models.retrieve, "nobodys")
    assert caught.value.code == "model_not_found"
