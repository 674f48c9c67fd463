"""addons/accounts/oauth.py, against a strict auth server over real sockets."""

import asyncio
import ssl
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import certifi
import pytest

from addons import identity
from addons.accounts import device, oauth
from addons.accounts.claims import CLAIMS
from addons.accounts.oauth import Dead, Unreachable
from addons.accounts.tokens import Tokens
from addons.http_client import trust
from tests.fake_auth import FakeAuth, Trouble, browse, person, web_token, within

type Refresh = Callable[[str], Tokens]


@pytest.fixture
def refreshed(auth: FakeAuth) -> Refresh:
    return lambda token: within(auth, oauth.refresh(token))


def test_we_say_who_we_are() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    assert f"{project['name']}/{project['version']}" == identity.USER_AGENT


def test_a_refresh_gives_newer_tokens_and_uses_the_old_one_up(
    auth: FakeAuth, refreshed: Refresh
) -> None:
    old = auth.give(person("bob", plan="pro"), lifetime=1)
    new = refreshed(old.refresh)
    assert (new.email, new.plan, new.name) == ("bob@example.com", "pro", old.name)
    assert new.refresh not in ("", old.refresh)
    assert new.access in auth.access and new.expires > old.expires + 3000
    assert abs(new.at - time.time()) < 5
    assert auth.refreshes == 1


def test_without_a_new_refresh_token_the_old_one_stays(auth: FakeAuth, refreshed: Refresh) -> None:
    auth.rotate = False
    old = auth.give()
    assert refreshed(refreshed(old.refresh).refresh).refresh == old.refresh
    assert auth.refreshes == 2


def test_a_used_refresh_token_is_the_end(auth: FakeAuth, refreshed: Refresh) -> None:
    old = auth.give()
    refreshed(old.refresh)
    with pytest.raises(Dead) as caught:
        refreshed(old.refresh)
    assert caught.value.code == "refresh_token_reused"
    assert auth.refusals == ["refresh_token: refresh_token_reused"]
    auth.refusals.clear()


@pytest.mark.parametrize("code", sorted(oauth.OVER))
@pytest.mark.parametrize("form", ['{"error": "%s"}', '{"error": {"code": "%s", "type": "x"}}'])
def test_what_ends_a_login_is_told_by_its_code(
    auth: FakeAuth, refreshed: Refresh, code: str, form: str
) -> None:
    auth.troubles.append(Trouble(400, body=(form % code).encode()))
    with pytest.raises(Dead) as caught:
        refreshed("rt_any")
    assert caught.value.code == code
    assert len(auth.asked) == 1


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (Trouble(500), "HTTP 500"),
        (Trouble(503, code="invalid_grant"), "HTTP 503 invalid_grant"),
        (Trouble(429, code="rate_limit"), "HTTP 429 rate_limit"),
        (Trouble(400, code="sk-proj-A secret!"), "HTTP 400"),
        (Trouble(403, body=b"<html>challenge</html>"), "HTTP 403"),
        (Trouble(302), "HTTP 302"),
        (Trouble(200, body=b"<html>"), "ValueError"),
        (Trouble(200, body=b"[]"), "ValueError"),
        (Trouble(200, body=b"{}"), "without tokens"),
        (Trouble(200, body=b'{"access_token": 7}'), "without tokens"),
        (Trouble(200, body=b'{"access_token": "a", "expires_in": "soon"}'), "ValueError"),
        (Trouble(200, body=b'{"access_token": "a", "expires_in": [1]}'), "TypeError"),
        (Trouble(200, body=b'{"error": "invalid_grant"}'), "OAuthError"),
        (Trouble(0), "RemoteProtocolError"),
        (Trouble(0, done=True), "RemoteProtocolError"),
    ],
)
def test_what_may_pass_is_no_end_and_nothing_is_sent_again(
    auth: FakeAuth, refreshed: Refresh, trouble: Trouble, why: str
) -> None:
    auth.troubles.append(trouble)
    token = auth.give().refresh
    with pytest.raises(Unreachable) as caught:
        refreshed(token)
    assert why in str(caught.value)
    assert token not in str(caught.value) and "secret" not in str(caught.value)
    assert len(auth.asked) == 1


def test_a_silent_service_is_left_in_time(
    auth: FakeAuth, refreshed: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "PATIENCE", 0.3)
    auth.troubles.append(Trouble(seconds=30))
    began = time.monotonic()
    with pytest.raises(Unreachable):
        refreshed(auth.give().refresh)
    assert time.monotonic() - began < 5
    assert len(auth.asked) == 1


def test_a_proxy_of_the_environment_is_not_used(
    auth: FakeAuth, refreshed: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):  # it may be ourselves
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert refreshed(auth.give().refresh).access in auth.access


def test_certificates_are_checked_as_mitmproxy_does_it() -> None:
    file = certifi.where()
    assert trust(file, False).verify_mode is ssl.CERT_REQUIRED
    assert trust(file, False).check_hostname
    assert trust(file, True).verify_mode is ssl.CERT_NONE


def test_no_service_at_all(auth: FakeAuth, refreshed: Refresh) -> None:
    auth.close()
    with pytest.raises(Unreachable, match="ConnectError"):
        refreshed("rt_any")
    assert auth.asked == []


def authorized(auth: FakeAuth, url: str) -> str:
    """The code with which the service sends the browser back."""
    [code] = parse_qs(urlsplit(auth.authorize(urlsplit(url).query)).query)["code"]
    return code


def test_a_code_becomes_tokens_once(auth: FakeAuth) -> None:
    verifier = "v" * 64

    async def test() -> Tokens:
        code = authorized(auth, oauth.authorize_url("s" * 43, verifier))
        tokens = await oauth.exchange(code, verifier)
        with pytest.raises(Dead, match="invalid_grant"):
            await oauth.exchange(code, verifier)
        return tokens

    assert within(auth, test()).email == "ada@example.com"
    assert auth.refusals == ["code: unknown, used or expired"]
    auth.refusals.clear()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("%20", "+", "query: a blank is %20 here, not +"),
        ("S256", "plain", "code_challenge_method"),
        ("originator=codex-relay", "originator=codex_cli_rs", "originator"),
        ("originator=codex-relay", "originator=Codex%20Desktop", "originator"),
        ("localhost", "127.0.0.1", "redirect_uri"),
        ("codex_cli_simplified_flow=true&", "", "codex_cli_simplified_flow: missing"),
        ("%20offline_access", "", "scope"),
        ("state=" + "s" * 43, "state=short", "state"),
        ("response_type=code", "response_type=code&prompt=login", "prompt: unknown"),
    ],
)
def test_the_service_of_the_tests_is_strict(auth: FakeAuth, old: str, new: str, fault: str) -> None:
    async def test() -> str:
        return oauth.authorize_url("s" * 43, "v" * 64)

    url = within(auth, test())
    assert authorized(auth, url)
    assert old in url
    answer = asyncio.run(browse(url.replace(old, new)))
    assert answer.status_code == 400
    assert len(auth.refusals) == 1 and auth.refusals[0].startswith(fault)
    auth.refusals.clear()


@pytest.mark.parametrize(
    ("told", "interval"), [("5", 5.0), (2, 2.0), ("0", 5.0), (None, 5.0), ("nan", 5.0), (1e9, 5.0)]
)
def test_an_interval_is_taken_as_the_service_writes_it(told: object, interval: float) -> None:
    assert device.seconds(told) == interval


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"user_code": "A"}', b'{"error": "x"}'])
def test_nonsense_to_a_device_is_no_answer(auth: FakeAuth, body: bytes) -> None:
    async def test() -> None:
        begun = await device.device_begin()
        auth.device_troubles.append(Trouble(200, body=body))
        with pytest.raises(Unreachable):
            await device.device_poll(begun)

    within(auth, test())


def test_a_device_that_polls_too_fast_is_slowed_down(auth: FakeAuth) -> None:
    auth.interval = 3.0

    async def test() -> None:
        begun = await device.device_begin()
        assert begun.interval == 3.0
        assert await device.device_poll(begun) == begun
        assert await device.device_poll(begun) == begun.slower()

    within(auth, test())
    assert auth.refusals == ["polled faster than the interval"]
    auth.refusals.clear()


@pytest.mark.parametrize("body", [b'{"access_token": "a\\r\\nx-evil: 1"}', b"[" * 100_000])
def test_an_answer_that_cannot_be_used(auth: FakeAuth, refreshed: Refresh, body: bytes) -> None:
    auth.troubles += [Trouble(200, body=body)]
    with pytest.raises(Unreachable):
        refreshed(auth.give().refresh)


def told(claims: dict[str, object]) -> Tokens:
    return Tokens(web_token(claims), "", "")


@pytest.mark.parametrize("exp", [10**400, float("inf"), float("nan"), -1, None, [], {}])
def test_an_end_that_is_none(exp: object) -> None:
    assert told({"exp": exp}).expires == 0.0


@pytest.mark.parametrize("odd", ["a\r\nx-evil: 1", "a\ud800", "x" * 1000, 1, None])
def test_what_is_told_of_an_account_is_a_line_or_nothing(odd: object) -> None:
    auth = {"chatgpt_account_id": odd, "chatgpt_user_id": odd, "chatgpt_plan_type": odd}
    claims = {CLAIMS + "auth": auth, CLAIMS + "profile": {"email": odd}}
    tokens = told(claims)
    assert (tokens.workspace, tokens.user, tokens.plan, tokens.email) == ("", "", "", "")
    assert tokens.name.startswith("acct_")
    assert told({CLAIMS + "auth": {"chatgpt_account_id": "é"}}).workspace == ""
    assert told({CLAIMS + "profile": {"email": "é@example.com"}}).email == "é@example.com"
