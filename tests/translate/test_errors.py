"""An upstream's error, in the words of many providers, as what Codex understands."""

import json
from typing import Any

import pytest

from tests.translate.support import carry, chunk, lawful, replied
from translate import error_body
from translate.errors import failure, said_by


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "m", "type": "t", "param": None, "code": None}}, "m"),
        ({"error": {"message": "m", "code": "c"}}, "m [c]"),
        ({"error": {"message": "m", "code": 400}}, "m"),
        ({"error": "m"}, "m"),
        ({"code": "some-code", "error": "m"}, "m"),  # xAI
        ([{"error": {"code": 400, "message": "m", "status": "INVALID"}}], "m"),  # Gemini
        ({"error": {"message": "m"}, "request_id": "r"}, "m"),  # DashScope
        ({"object": "error", "message": "m", "type": "t", "code": 404}, "m"),  # vLLM
        ({"object": "error", "message": {"detail": [{"msg": "m"}]}, "code": "1"}, "m"),  # Mistral
        ({"message": "m", "type": "t", "param": "p", "code": "wrong_api_format"},
         "m [wrong_api_format]"),  # Cerebras
        ({"detail": "m"}, "m"),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "m"}]}, "body.messages.0: m"),
        ({"error_msg": "m", "error_code": 17}, "m"),
        ({"error": [{"message": "m"}]}, "m"),
        ({"error": {}}, ""),
        ({"error": {"code": 5}}, ""),
        ("m", "m"),
        ([], "[]"),
        (5, "5"),
    ],
)  # fmt: skip
def test_human_part_is_found(body: Any, said: str) -> None:
    wire = json.dumps(body).encode()
    assert said_by(wire) == (said or wire.decode())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no message"),
        (b" \n", "no message"),
        (b"upstream  connect\nerror", "upstream connect error"),
        (b"<html><style>a{}</style><script>\nx()\n</script><h1>Bad</h1><p>Gateway</p>",
         "Bad Gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 5000, "x" * 2000),
    ],
)  # fmt: skip
def test_body_that_is_no_json_is_read_as_text(body: bytes, said: str) -> None:
    assert said_by(body) == said


OVERFLOWS = [
    "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens",
    "the request exceeds the available context size, try increasing it",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "Input is too long for requested model",
    "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).",
    "Please reduce the length of the messages or completion.",
    "Requested token count exceeds the model's maximum context length",
    "too many tokens",
]
QUOTAS = [
    "exceeded_current_quota_error",
    "Insufficient Balance",
    "Your credit balance is too low",
    "insufficient_quota",
    "Access denied, please make sure your account is in good standing: Arrearage",
]


def test_a_passing_429_that_speaks_of_billing_is_no_empty_account() -> None:
    """Gemini's, word for word as OpenAI's final one but for the code."""
    said = "You exceeded your current quota, please check your plan and billing details."
    error = {"message": said, "code": 429, "status": "RESOURCE_EXHAUSTED"}
    assert failure("X", 429, json.dumps({"error": error}).encode()).code == "rate_limit_exceeded"


@pytest.mark.parametrize("said", OVERFLOWS)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_overflow_is_told_in_codex_words(status: int, said: str) -> None:
    why = failure("X", status, json.dumps({"error": {"message": said}}).encode())
    assert (why.status, why.code) == (400, "context_length_exceeded") and said in why.message


@pytest.mark.parametrize("said", QUOTAS)
@pytest.mark.parametrize("status", [400, 402, 403, 429])
def test_quota_ends_the_turn(status: int, said: str) -> None:
    why = failure("X", status, json.dumps({"error": {"message": said}}).encode())
    assert (why.status, why.code) == (429, "insufficient_quota")


@pytest.mark.parametrize(
    ("status", "becomes", "code"),
    [
        (400, 400, "invalid_prompt"), (401, 400, "invalid_prompt"),
        (402, 429, "insufficient_quota"), (403, 400, "invalid_prompt"),
        (404, 400, "invalid_prompt"), (405, 400, "invalid_prompt"),
        (413, 400, "invalid_prompt"), (422, 400, "invalid_prompt"), (302, 400, "invalid_prompt"),
        (429, 429, "rate_limit_exceeded"), (500, 503, "server_is_overloaded"),
        (502, 503, "server_is_overloaded"), (529, 503, "server_is_overloaded"),
    ],
)  # fmt: skip
def test_status_is_mapped_for_codex(status: int, becomes: int, code: str) -> None:
    reply = carry().fail(status, b'{"error":{"message":"the words"}}', None)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (becomes, code)
    assert "the words" in error["message"] and "The upstream" in error["message"]
    assert str(status) in error["message"]
    last = lawful(reply.event)[-1]
    assert last["response"]["error"] == {"code": code, "message": error["message"]}


@pytest.mark.parametrize("status", range(400, 600))
def test_401_never_stays_401(status: int) -> None:
    assert carry().fail(status, b"", None).status in (400, 429, 503)


@pytest.mark.parametrize("status", [401, 403, 404, 422])
def test_advice_says_what_to_check(status: int) -> None:
    message = failure("Example AI", status, b"no").message
    assert "check" in message and "Example AI" in message and str(status) in message


def test_a_wait_beyond_patience_is_told_in_words_alone() -> None:
    """With the header, Codex sits still for as long."""
    why = failure("X", 429, b"slow down", "3600")
    assert (why.status, why.retry_after) == (429, None)
    assert "wait 3600 s" in why.message and "try again in" not in why.message


@pytest.mark.parametrize(
    ("retry_after", "words"),
    [("7", "Please try again in 7s."), ("1.5", "again in 1.5s"), ("Wed, 21 Oct", ""), (None, "")],
)
def test_retry_after_is_kept_and_said(retry_after: str | None, words: str) -> None:
    reply = carry().fail(429, b"slow down", retry_after)
    assert reply.headers.get("retry-after") == retry_after
    assert words in reply.body.decode()
    assert words or "try again" not in reply.body.decode()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "boom"}, "server_error"),
        ({"message": "boom", "code": 500}, "server_error"),
        ({"message": "boom", "code": "429"}, "server_error"),
        ({"message": "slow", "code": 429}, "rate_limit_exceeded"),
        ({"message": "bad key", "code": 401}, "invalid_prompt"),
        ({"message": OVERFLOWS[0], "code": 400}, "context_length_exceeded"),
        ({"message": QUOTAS[0]}, "insufficient_quota"),
        ("boom", "server_error"),
    ],
)
@pytest.mark.parametrize("place", ["error", "choice", "x_groq"])
def test_error_inside_a_stream_is_told(error: Any, code: str, place: str) -> None:
    wrong = {
        "error": {"error": error},
        "choice": {"choices": [{"index": 0, "error": error}]},
        "x_groq": {"choices": [], "x_groq": {"error": error}},
    }[place]
    last = replied(chunk(content="Hi."), wrong, chunk("stop"))[-1]
    assert last["type"] == "response.failed" and last["response"]["error"]["code"] == code


def test_error_object_inside_a_stream_is_told() -> None:
    last = replied({"object": "error", "message": "no such model", "code": 404})[-1]
    assert last["response"]["error"]["code"] == "invalid_prompt"
    assert "no such model" in last["response"]["error"]["message"]


def test_base_resp_without_an_error_is_none() -> None:
    fine = chunk("stop", content="Hi.") | {"base_resp": {"status_code": 0, "status_msg": ""}}
    assert replied(fine)[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (403, "permission_error"),
     (404, "invalid_request_error"), (429, "rate_limit_error"), (502, "server_error")],
)  # fmt: skip
def test_error_body_is_openais(status: int, kind: str) -> None:
    body = json.loads(error_body(status, "m", code="c", param="p"))
    assert body == {"error": {"message": "m", "type": kind, "param": "p", "code": "c"}}
