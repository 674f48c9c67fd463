"""The claims in OpenAI's tokens."""

import base64

import pytest

from addons.accounts.claims import chatgpt_account_id, is_openai_token, jwt_claims
from tests.fake_auth import web_token

AUTH = "https://api.openai.com/auth"


@pytest.mark.parametrize(
    "token",
    [
        "sk-proj-abc123",
        "sk-svcacct-abc123",
        "sk-admin-abc123",
        "sess-abc123",
        "sk-abcT3BlbkFJdef",
        web_token({"iss": "https://auth.openai.com", "sub": "me"}),
        web_token({AUTH: {}}),
    ],
)
def test_openai_tokens_are_recognised(token: str) -> None:
    assert is_openai_token(token)


@pytest.mark.parametrize(
    "token", ["", "sk-abc123", "sk-project-abc", "a.b.c", web_token({"sub": "me"})]
)
def test_tokens_of_others_are_not_openais(token: str) -> None:
    assert not is_openai_token(token)


@pytest.mark.parametrize(
    ("claims", "account_id"),
    [
        ({AUTH: {"chatgpt_account_id": "ws-1"}}, "ws-1"),
        ({AUTH: {"chatgpt_account_id": 1}}, None),
        ({AUTH: []}, None),
        ({}, None),
    ],
)
def test_account_id_is_read_from_the_claims(
    claims: dict[str, object], account_id: str | None
) -> None:
    assert chatgpt_account_id(web_token(claims)) == account_id


@pytest.mark.parametrize(
    "payload", [b"[1]", b"{", b"\xff", b"[" * 100_000], ids=["list", "half", "bytes", "deep"]
)
def test_text_without_claims_has_none(payload: bytes) -> None:
    assert jwt_claims(f"a.{base64.urlsafe_b64encode(payload).decode()}.c") == {}
    assert jwt_claims("opaque") == jwt_claims("a.!!!.c") == jwt_claims("a.ä.c") == {}
