"""OpenAI's login service, played by a strict auth server over real sockets."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest

from addons.accounts import oauth
from addons.accounts.oauth import DeviceApproval, LoginEnded, LoginServiceUnreachable
from addons.accounts.tokens import Tokens
from tests.fake_auth import FakeAuth, TokenTrouble, fetch_final_page, make_user, run_with_accounts

type RefreshNow = Callable[[str], Tokens]


@pytest.fixture
def refresh(auth: FakeAuth) -> RefreshNow:
    return lambda token: run_with_accounts(auth, oauth.refresh_tokens(token))


def test_refresh_gives_newer_tokens_of_the_same_account(
    auth: FakeAuth, refresh: RefreshNow
) -> None:
    old = auth.issue_tokens(make_user("bob", plan="pro"), lifetime=1)
    new = refresh(old.refresh_token)
    assert (new.email, new.plan) == ("bob@example.com", "pro")
    assert new.account_name == old.account_name
    assert new.refresh_token not in ("", old.refresh_token)
    assert new.access_token in auth.access_tokens and new.expires_at > old.expires_at + 3000
    assert abs(new.issued_at - time.time()) < 5
    assert auth.refreshes == 1


def test_refresh_token_stays_if_there_is_no_new_one(auth: FakeAuth, refresh: RefreshNow) -> None:
    auth.rotate = False
    old = auth.issue_tokens()
    new = refresh(refresh(old.refresh_token).refresh_token)
    assert new.refresh_token == old.refresh_token
    assert auth.refreshes == 2


def test_second_use_of_a_refresh_token_ends_the_login(auth: FakeAuth, refresh: RefreshNow) -> None:
    old = auth.issue_tokens()
    refresh(old.refresh_token)
    with pytest.raises(LoginEnded) as error:
        refresh(old.refresh_token)
    assert error.value.code == "refresh_token_reused"
    assert auth.refusals == ["refresh_token: refresh_token_reused"]
    auth.refusals.clear()


@pytest.mark.parametrize("code", sorted(oauth.ENDING_CODES))
@pytest.mark.parametrize("form", ['{"error": "%s"}', '{"error": {"code": "%s", "type": "x"}}'])
def test_error_code_says_that_a_login_has_ended(
    auth: FakeAuth, refresh: RefreshNow, code: str, form: str
) -> None:
    auth.troubles.append(TokenTrouble(400, body=(form % code).encode()))
    with pytest.raises(LoginEnded) as error:
        refresh("rt_any")
    assert error.value.code == code
    assert len(auth.token_requests) == 1


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (TokenTrouble(500), "HTTP 500"),
        (TokenTrouble(503, code="invalid_grant"), "HTTP 503 invalid_grant"),
        (TokenTrouble(429, code="rate_limit"), "HTTP 429 rate_limit"),
        (TokenTrouble(400, code="sk-proj-A secret!"), "HTTP 400"),
        (TokenTrouble(403, body=b"<html>challenge</html>"), "HTTP 403"),
        (TokenTrouble(302), "HTTP 302"),
        (TokenTrouble(200, body=b"<html>"), "ValueError"),
        (TokenTrouble(200, body=b"[]"), "ValueError"),
        (TokenTrouble(200, body=b"{}"), "without tokens"),
        (TokenTrouble(200, body=b'{"access_token": 7}'), "without tokens"),
        (TokenTrouble(200, body=b'{"access_token": "a\\r\\nx-evil: 1"}'), "without tokens"),
        (TokenTrouble(200, body=b"[" * 100_000), "RecursionError"),
        (TokenTrouble(200, body=b'{"access_token": "a", "expires_in": "soon"}'), "ValueError"),
        (TokenTrouble(200, body=b'{"access_token": "a", "expires_in": [1]}'), "TypeError"),
        (TokenTrouble(200, body=b'{"error": "invalid_grant"}'), "OAuthError"),
        (TokenTrouble(0), "RemoteProtocolError"),
        (TokenTrouble(0, done=True), "RemoteProtocolError"),
    ],
)
def test_other_failures_do_not_end_a_login_and_nothing_is_sent_again(
    auth: FakeAuth, refresh: RefreshNow, trouble: TokenTrouble, why: str
) -> None:
    auth.troubles.append(trouble)
    token = auth.issue_tokens().refresh_token
    with pytest.raises(LoginServiceUnreachable) as error:
        refresh(token)
    assert why in str(error.value)
    assert token not in str(error.value) and "secret" not in str(error.value)
    assert len(auth.token_requests) == 1


def test_silent_login_service_times_out(
    auth: FakeAuth, refresh: RefreshNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "REQUEST_TIMEOUT", 0.3)
    auth.troubles.append(TokenTrouble(seconds=30))
    begin = time.monotonic()
    with pytest.raises(LoginServiceUnreachable):
        refresh(auth.issue_tokens().refresh_token)
    assert time.monotonic() - begin < 5
    assert len(auth.token_requests) == 1


def test_proxy_in_the_environment_is_not_used(
    auth: FakeAuth, refresh: RefreshNow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):  # it may be the relay itself
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert refresh(auth.issue_tokens().refresh_token).access_token in auth.access_tokens


def test_login_service_that_does_not_exist_is_unreachable(
    auth: FakeAuth, refresh: RefreshNow
) -> None:
    auth.close()
    with pytest.raises(LoginServiceUnreachable, match="ConnectError"):
        refresh("rt_any")
    assert auth.token_requests == []


def authorize(auth: FakeAuth, url: str) -> str:
    """The code with which the login service sends the browser back."""
    [code] = parse_qs(urlsplit(auth.authorize(urlsplit(url).query)).query)["code"]
    return code


def test_code_gives_tokens_once(auth: FakeAuth) -> None:
    verifier = "v" * 64

    async def test() -> Tokens:
        code = authorize(auth, oauth.authorize_url("s" * 43, verifier))
        tokens = await oauth.exchange_code(code, verifier)
        with pytest.raises(LoginEnded, match="invalid_grant"):
            await oauth.exchange_code(code, verifier)
        return tokens

    assert run_with_accounts(auth, test()).email == "ada@example.com"
    assert auth.refusals == ["code: unknown, used or expired"]
    auth.refusals.clear()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("%20", "+", "query: a blank is %20 here, not +"),
        ("S256", "plain", "code_challenge_method"),
        ("originator=mitmcodex", "originator=codex_cli_rs", "originator"),
        ("originator=mitmcodex", "originator=Codex%20Desktop", "originator"),
        ("localhost", "127.0.0.1", "redirect_uri"),
        ("codex_cli_simplified_flow=true&", "", "codex_cli_simplified_flow: missing"),
        ("%20offline_access", "", "scope"),
        ("state=" + "s" * 43, "state=short", "state"),
        ("response_type=code", "response_type=code&prompt=login", "prompt: unknown"),
    ],
)
def test_auth_server_of_the_tests_is_strict(auth: FakeAuth, old: str, new: str, fault: str) -> None:
    async def test() -> str:
        return oauth.authorize_url("s" * 43, "v" * 64)

    url = run_with_accounts(auth, test())
    assert authorize(auth, url)
    assert old in url
    reply = asyncio.run(fetch_final_page(url.replace(old, new)))
    assert reply.status_code == 400
    assert len(auth.refusals) == 1 and auth.refusals[0].startswith(fault)
    auth.refusals.clear()


@pytest.mark.parametrize(
    ("value", "interval"), [("5", 5.0), (2, 2.0), ("0", 5.0), (None, 5.0), ("nan", 5.0), (1e9, 5.0)]
)
def test_poll_interval_may_be_text_or_a_number(value: object, interval: float) -> None:
    assert oauth.parse_interval(value) == interval


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"user_code": "A"}', b'{"error": "x"}'])
def test_malformed_reply_to_a_poll_is_a_failure(auth: FakeAuth, body: bytes) -> None:
    async def test() -> None:
        device = await oauth.request_device_code()
        auth.device_troubles.append(TokenTrouble(200, body=body))
        with pytest.raises(LoginServiceUnreachable):
            await oauth.poll_device_code(device)

    run_with_accounts(auth, test())


def test_device_that_polls_too_often_slows_down(auth: FakeAuth) -> None:
    auth.interval = 3.0

    async def test() -> None:
        device = await oauth.request_device_code()
        assert device.interval == 3.0
        assert await oauth.poll_device_code(device) == device
        assert await oauth.poll_device_code(device) == device.with_longer_interval()

    run_with_accounts(auth, test())
    assert auth.refusals == ["polled faster than the interval"]
    auth.refusals.clear()


def test_device_codes_and_approvals_do_not_show_secrets(auth: FakeAuth) -> None:
    async def test() -> None:
        device = await oauth.request_device_code()
        assert device.id not in repr(device)
        auth.approve_device(device.user_code)
        approval = await oauth.poll_device_code(device)
        assert isinstance(approval, DeviceApproval)
        assert approval.authorization_code not in repr(approval) and approval.verifier not in repr(
            approval
        )

    run_with_accounts(auth, test())
