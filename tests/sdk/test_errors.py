"""Failures as the official SDK raises them to Responses clients."""

import json
from typing import Any

import pytest
from openai import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
    RateLimitError,
    UnprocessableEntityError,
)

from tests.fake_provider import FakeProvider
from tests.replies import CUT, RST, Die, Error, Finish, error, pause, say

OVERFLOW = "This model's maximum context length is 65536 tokens. You requested 70000."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("problem", "raised", "code"),
    [
        (error(400, "bad value"), BadRequestError, "invalid_prompt"),
        (error(401, "bad key"), AuthenticationError, "invalid_prompt"),
        (error(403, "not yours"), PermissionDeniedError, "invalid_prompt"),
        (error(404, "no model"), NotFoundError, "invalid_prompt"),
        (error(422, "wrong"), UnprocessableEntityError, "invalid_prompt"),
        (error(402, "Insufficient Balance"), RateLimitError, "insufficient_quota"),
        (error(429, "x", code="insufficient_quota"), RateLimitError, "insufficient_quota"),
        (error(429, "slower", retry_after=7), RateLimitError, "rate_limit_exceeded"),
        (error(500, "oops"), InternalServerError, "server_is_overloaded"),
        (error(502, body=b"<html>Bad gateway"), InternalServerError, "server_is_overloaded"),
        (error(503, "busy", retry_after=9), InternalServerError, "server_is_overloaded"),
        (error(529, "busy"), InternalServerError, "server_is_overloaded"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Error) else None,
)
def test_upstreams_error_is_raised(
    problem: Error,
    raised: type[APIStatusError],
    code: str,
    stream: bool,
    client: OpenAI,
    provider: FakeProvider,
) -> None:
    provider.reply(problem)
    with pytest.raises(raised) as caught:
        client.responses.create(model="gpt-5.5", input="Hello.", stream=stream)
    assert caught.value.code == code
    assert str(problem.status) in caught.value.message
    sent = problem.headers.get("retry-after")
    assert caught.value.response.headers.get("retry-after") == sent
    assert len(provider.posted_requests) == 1


CODEX = {"user-agent": "codex_exec/0.169.0", "originator": "codex_exec"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_codex_gets_a_400_that_it_does_not_retry(
    status: int, stream: bool, client: OpenAI, provider: FakeProvider
) -> None:
    provider.reply(error(status, "the words"))
    with pytest.raises(BadRequestError, match="the words") as caught:
        client.responses.create(model="m", input="Hello.", stream=stream, extra_headers=CODEX)
    assert caught.value.code == "invalid_prompt"


def test_full_context_has_its_code(client: OpenAI, provider: FakeProvider) -> None:
    for _ in range(2):
        provider.reply(error(400, OVERFLOW))
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model="gpt-5.5", input="Hello.")
    assert caught.value.code == "context_length_exceeded"
    with client.responses.create(model="gpt-5.5", input="Hello.", stream=True) as stream:
        last: Any = [event for event in stream][-1]  # the only form that Codex understands
    assert last.type == "response.failed"
    assert last.response.error.code == "context_length_exceeded"


@pytest.mark.parametrize("death", [CUT, RST], ids=["cut", "reset"])
def test_lost_upstream_ends_the_stream_with_an_error(
    death: Die, client: OpenAI, provider: FakeProvider
) -> None:
    for first in ([], [say("Half a sen"), pause(0.05)]):
        provider.reply(*first, death)
        with pytest.raises(InternalServerError) as caught:
            client.responses.create(model="gpt-5.5", input="Hello.")
        assert caught.value.code == "server_error"
    provider.reply(say("Half a sen"), pause(0.05), death)
    with client.responses.create(model="gpt-5.5", input="Hello.", stream=True) as stream:
        events: list[Any] = list(stream)
    assert "response.output_text.delta" in [event.type for event in events]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.code == "server_error"


def test_finish_reason_of_a_failure_is_raised(client: OpenAI, provider: FakeProvider) -> None:
    provider.reply(say("So f"), Finish("error"))
    with pytest.raises(InternalServerError):
        client.responses.create(model="gpt-5.5", input="Hello.")


def test_error_after_a_heartbeat_is_raised(client: OpenAI, provider: FakeProvider) -> None:
    """The head with status 200 is already sent."""
    provider.reply(error(401, "bad key"), delay=0.8)
    with client.responses.create(model="gpt-5.5", input="Hello.", stream=True) as stream:
        events: list[Any] = list(stream)
    assert events[-1].type == "response.failed"
    assert "bad key" in events[-1].response.error.message


def test_unknown_previous_response_is_refused(client: OpenAI, provider: FakeProvider) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model="gpt-5.5", input="On.", previous_response_id="resp_nobodys")
    assert caught.value.code == "previous_response_not_found"
    assert caught.value.param == "previous_response_id"
    assert "resp_nobodys" in caught.value.message
    assert provider.requests == []


USER = {"role": "user", "content": "Hello."}


BAD = [
    ({"input": None}, "input"),
    ({"input": 5}, "input"),
    ({"input": {"role": "user"}}, "input"),
    ({"input": []}, "input"),
    ({"input": ["Hello."]}, "input[0]"),
    ({"input": [USER, {"content": "x"}]}, "input[1].type"),
    ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]}, None),
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"instructions": 5}, "instructions"),
    ({"tools": {}}, "tools"),
    ({"tools": [5]}, "tools[0]"),
    ({"max_output_tokens": "many"}, "max_output_tokens"),
    ({"stream": "perhaps"}, "stream"),
    ({"reasoning": "much"}, "reasoning"),
    ({"text": {"format": "json"}}, "text.format"),
    ({"parallel_tool_calls": []}, "parallel_tool_calls"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_bad_request_names_its_field(stream: bool, client: OpenAI, provider: FakeProvider) -> None:
    for fields, param in BAD:
        body = {"model": "gpt-5.5", "input": "Hello.", "stream": stream, **fields}
        body = {name: value for name, value in body.items() if value is not None}
        with pytest.raises(BadRequestError) as caught:
            client.post("/responses", body=body, cast_to=object)
        param = caught.value.param or ""
        assert param == param if param else param.startswith("input[0].content")
        assert param in caught.value.message
        assert caught.value.type == "invalid_request_error"
    assert provider.requests == []


def test_body_that_is_no_object_is_refused(client: OpenAI, provider: FakeProvider) -> None:
    for body in (b"", b"{", b"[]", b"null", b"5", b'{"model": "m"', b"\xff"):
        with pytest.raises(BadRequestError) as caught:
            client.post("/responses", content=body, cast_to=object)
        assert "JSON" in caught.value.message
        assert json.loads(caught.value.response.content)["error"]["type"] == "invalid_request_error"
    assert provider.requests == []
