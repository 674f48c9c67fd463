"""Error bodies of many providers: where the message is, and what else the body says."""

import json
from typing import Any

import pytest

from translate.wire.error_bodies import (
    error_code,
    error_text,
    has_code,
    is_message_only,
    reset_facts,
    stream_error_status,
)


@pytest.mark.parametrize(
    ("body", "text"),
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
        ({"detail": [{"loc": ["body", "a"], "msg": "m"}, {"loc": ["body", "b"], "msg": "n"}]},
         "body.a: m; body.b: n"),
        ([[], {"message": "m"}, 5], "m"),
        ({"error_msg": "m", "error_code": 17}, "m"),
        ({"error": [{"message": "m"}]}, "m"),
        ({"status": 500, "error": "Internal Server Error", "message": "m"},
         "Internal Server Error: m"),  # Spring
        ({"error": "bad_request", "message": "m", "code": "c"}, "bad_request: m [c]"),
        ({"error": "t", "message": "t"}, "t"),
        ({"error": "t", "message": ""}, "t"),
        ({"error": "", "message": "m"}, "m"),
        ({"error": {"message": "first line\n\x1b[31m  second"}}, r"first line \x1b[31m second"),
        ({"error": {}}, ""),
        ({"error": {"code": 5}}, ""),
        ("m", "m"),
        ([], "[]"),
        (5, "5"),
    ],
)  # fmt: skip
def test_message_is_found_in_every_form(body: Any, text: str) -> None:
    wire = json.dumps(body).encode()
    assert error_text(wire) == (text or wire.decode())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "no message"),
        (b" \n", "no message"),
        (b"upstream  connect\nerror", "upstream connect error"),
        (b"<html><style>a{}</style><script>\nx()\n</script><h1>Bad</h1><p>Gateway</p>",
         "Bad Gateway"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 5000, "x" * 1999 + "…"),
        (b"a < b and c > d", "a d"),
        (b"a < b", "a < b"),
        (b"a\x1b]0;title\x07", r"a\x1b]0;title\x07"),
        (b"<STYLE>a<b></STYLE >Bad<script src=x>if (a<b) x()</script>Gateway", "Bad Gateway"),
        (b"Bad Gateway <script>if (a < b) {", "Bad Gateway"),
        (b"<" * 10, "<" * 10),
        (b"Here" + b" " * (256 << 10) + b"too far", "Here"),
        (b'{"error":"%s"}' % (b"x" * (1 << 20)), '{"error":"' + "x" * 1989 + "…"),
    ],
)  # fmt: skip
def test_body_that_is_not_json_is_read_as_text(body: bytes, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": {"code": 404}}, 404),
        ({"code": 422}, 422),
        ({"error": {"code": 500}}, 200),
        ({"error": {"code": "404"}}, 200),
        ([], 200),
    ],
)
def test_error_in_a_stream_may_have_a_4xx_status_as_its_code(body: Any, status: int) -> None:
    assert stream_error_status(json.dumps(body).encode()) == status


@pytest.mark.parametrize(
    ("body", "code"),
    [({"error": {"code": "c"}}, "c"), ({"code": "c"}, "c"), ({"code": 5}, ""), ("c", "")],
)
def test_only_a_word_is_an_error_code(body: Any, code: str) -> None:
    assert error_code(json.dumps(body).encode()) == code


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"type": "c"}}, True),
        ({"error": {"type": "t", "code": "c"}}, True),
        ({"error": {"message": "c"}}, False),
        ({"type": "c"}, True),
        ({"detail": {"code": "c"}}, True),
        ({"error": "c"}, True),
        ({"detail": "c"}, False),
        (["c"], False),
    ],
)
def test_code_is_found_where_providers_put_it(body: Any, expected: bool) -> None:
    assert has_code("c", json.dumps(body).encode()) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "Slow down.", "type": None}}, True),
        ({"detail": "Slow down."}, True),
        ({"error": {"message": "Slow down.", "code": "c"}}, False),
        ({"error": "Slow down."}, True),
        ({"error": {"message": "Slow down.", "param": "p"}}, True),
        ({"type": "error", "error": {"message": "Slow down."}}, False),
        ({}, True),
        ("Slow down.", False),
    ],
)
def test_error_without_a_named_cause_is_recognised(body: Any, expected: bool) -> None:
    assert is_message_only(json.dumps(body).encode()) is expected


def test_reset_facts_are_those_that_codex_reads() -> None:
    error = {"type": "t", "plan_type": "plus", "resets_at": None, "resets_in_seconds": 0}
    assert reset_facts(json.dumps({"error": error}).encode()) == {
        "plan_type": "plus",
        "resets_in_seconds": 0,
    }
    assert reset_facts(b"not JSON") == {}


def test_error_of_any_depth_is_read_as_text() -> None:
    deep = b"[" * 990 + b"]" * 990
    assert error_text(deep) == deep.decode()
