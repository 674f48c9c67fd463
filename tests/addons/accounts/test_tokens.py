"""What an account's tokens say about it."""

import pytest

from addons.accounts.claims import CLAIM_PREFIX
from addons.accounts.tokens import Tokens, fits_header
from tests.fake_auth import web_token


def tokens_with(claims: dict[str, object]) -> Tokens:
    return Tokens(web_token(claims), "", "")


@pytest.mark.parametrize("exp", [10**400, float("inf"), float("nan"), -1, None, [], {}])
def test_impossible_expiry_is_unknown(exp: object) -> None:
    assert tokens_with({"exp": exp}).expires_at == 0.0


def test_email_comes_from_the_id_token_if_the_access_token_has_none() -> None:
    id_token = web_token({"email": "ada@example.com"})
    assert Tokens("opaque", "", id_token).email == "ada@example.com"


def test_account_name_is_stable_and_reveals_nothing() -> None:
    claims = {"chatgpt_account_id": "ws-ada", "chatgpt_user_id": "user-ada"}
    names = {tokens_with({CLAIM_PREFIX + "auth": claims}).account_name for _ in range(2)}
    [name] = names
    assert name.startswith("acct_") and "ada" not in name
    other_user = tokens_with({CLAIM_PREFIX + "auth": claims | {"chatgpt_user_id": "user-bob"}})
    assert other_user.account_name != name


@pytest.mark.parametrize("odd", ["a\r\nx-evil: 1", "a\ud800", "x" * 1000, 1, None])
def test_claims_that_cannot_be_shown_are_empty(odd: object) -> None:
    auth = {"chatgpt_account_id": odd, "chatgpt_user_id": odd, "chatgpt_plan_type": odd}
    claims = {CLAIM_PREFIX + "auth": auth, CLAIM_PREFIX + "profile": {"email": odd}}
    tokens = tokens_with(claims)
    assert (tokens.workspace, tokens.user_id, tokens.plan, tokens.email) == ("", "", "", "")
    assert tokens.account_name.startswith("acct_")


def test_workspace_must_fit_a_header_and_an_email_need_not() -> None:
    assert tokens_with({CLAIM_PREFIX + "auth": {"chatgpt_account_id": "é"}}).workspace == ""
    profile = {CLAIM_PREFIX + "profile": {"email": "é@example.com"}}
    assert tokens_with(profile).email == "é@example.com"


@pytest.mark.parametrize(
    ("text", "fits"), [("", True), ("abc!~", True), ("a b", False), ("a\n", False), ("é", False)]
)
def test_only_visible_ascii_fits_a_header(text: str, fits: bool) -> None:
    assert fits_header("a", text) is fits
