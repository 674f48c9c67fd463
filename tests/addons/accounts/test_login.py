"""A login in progress, by browser and by device code."""

import asyncio
import socket
import time

import pytest

from addons.accounts import login as login_module
from addons.accounts import login_callback, oauth
from addons.accounts.login import LoginProcess
from addons.accounts.login_callback import PortInUse
from addons.accounts.tokens import Tokens
from tests import fake_auth
from tests.addons.accounts.login_harness import (
    CLOSE_ADVICE,
    callback_url,
    is_listening,
    query_parameters,
    run_logins,
)
from tests.addons.accounts.pool_harness import wait_until
from tests.fake_auth import FakeAuth, TokenTrouble, fetch_final_page, make_user, run_with_accounts


def test_browser_login_gives_tokens(auth: FakeAuth) -> None:
    auth.user = make_user("bob", plan="team")

    async def test(login: LoginProcess) -> None:
        assert login.current_status() is None
        url = await login.start_browser_login()
        assert login.current_status() == {"kind": "browser", "url": url}
        page = await fetch_final_page(url)
        assert page.status_code == 200 and CLOSE_ADVICE in page.text
        assert page.history[0].status_code == 302
        await wait_until(lambda: login.current_status() is None)
        assert not is_listening(auth.port)

    [tokens] = run_logins(auth, test)
    assert (tokens.email, tokens.plan) == ("bob@example.com", "team")
    assert tokens.access_token in auth.access_tokens and tokens.refresh_token in auth.refresh_tokens
    assert abs(tokens.issued_at - time.time()) < 5


def test_real_callback_port_works() -> None:
    with fake_auth.running_auth() as auth:

        async def test(login: LoginProcess) -> None:
            async with asyncio.timeout(20):  # another process may log in on this machine
                while True:
                    try:
                        url = await login.start_browser_login()
                        break
                    except PortInUse:
                        await asyncio.sleep(0.2)
            assert query_parameters(url)["redirect_uri"] == "http://localhost:1455/auth/callback"
            assert CLOSE_ADVICE in (await fetch_final_page(url)).text

        assert len(run_logins(auth, test)) == 1


def test_denied_login_shows_the_error_and_may_be_repeated(auth: FakeAuth) -> None:
    auth.browser_error = "access_denied"

    async def test(login: LoginProcess) -> None:
        page = await fetch_final_page(await login.start_browser_login())
        assert page.status_code == 400
        assert "access_denied" in page.text and "Start the login again" in page.text
        await wait_until(lambda: not is_listening(auth.port))
        error = "OpenAI refused the login (access_denied)."
        await wait_until(lambda: login.current_status() == {"kind": "browser", "error": error})
        assert CLOSE_ADVICE in (await fetch_final_page(await login.start_browser_login())).text

    assert len(run_logins(auth, test)) == 1


def test_used_code_is_refused(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        first = await fetch_final_page(await login.start_browser_login())
        code = query_parameters(str(first.url))["code"]
        page = await fetch_final_page(callback_url(await login.start_browser_login(), code=code))
        assert page.status_code == 400 and "invalid_grant" in page.text
        assert code not in page.text

    assert len(run_logins(auth, test)) == 1
    assert auth.refusals == ["code: unknown, used or expired"]
    auth.refusals.clear()


def test_code_of_another_verifier_is_refused(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        foreign_url = oauth.authorize_url("s" * 43, "v" * 64)
        code = query_parameters(auth.authorize(foreign_url.partition("?")[2]))["code"]
        page = await fetch_final_page(callback_url(await login.start_browser_login(), code=code))
        assert page.status_code == 400 and "invalid_grant" in page.text

    assert run_logins(auth, test) == []
    assert auth.refusals == ["code_verifier: not that of the challenge"]
    auth.refusals.clear()


def test_page_that_is_loaded_three_times_uses_the_code_once(auth: FakeAuth) -> None:
    auth.delay = 0.3

    async def test(login: LoginProcess) -> None:
        url = await login.start_browser_login()
        code = query_parameters(auth.authorize(url.partition("?")[2]))["code"]
        pages = await asyncio.gather(
            *(fetch_final_page(callback_url(url, code=code)) for _ in range(3))
        )
        assert [page.status_code for page in pages] == [200, 200, 200]

    assert len(run_logins(auth, test)) == 1
    assert len(auth.token_requests) == 1


def test_failing_login_service_gets_the_code_only_once(auth: FakeAuth) -> None:
    auth.troubles.append(TokenTrouble(500))

    async def test(login: LoginProcess) -> None:
        page = await fetch_final_page(await login.start_browser_login())
        assert page.status_code == 400 and "HTTP 500" in page.text
        await wait_until(lambda: "error" in (login.current_status() or {}))

    assert run_logins(auth, test) == []
    assert len(auth.token_requests) == 1


def test_fault_of_unsaved_tokens_has_no_secret(
    auth: FakeAuth, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(tokens: Tokens) -> None:
        raise OSError(f"no space for {tokens.access_token}")

    async def test() -> None:
        login = LoginProcess(fail)
        page = await fetch_final_page(await login.start_browser_login())
        assert page.status_code == 400
        await wait_until(lambda: "error" in (login.current_status() or {}))
        error = "The account could not be saved (OSError)."
        assert login.current_status() == {"kind": "browser", "error": error}
        await login.cancel()
        output = page.text + caplog.text
        assert "could not be saved" in output
        assert not any(token in output for token in auth.access_tokens)

    run_with_accounts(auth, test())


def test_used_callback_port_is_an_error_with_a_cure(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        for family in login_callback.localhost_families():
            with login_callback.listening_socket(family, auth.port):
                with pytest.raises(PortInUse) as error:
                    await login.start_browser_login()
                assert f"Port {auth.port}" in str(error.value)
                assert "device code" in str(error.value)
                assert login.current_status() is None
        assert CLOSE_ADVICE in (await fetch_final_page(await login.start_browser_login())).text

    assert len(run_logins(auth, test)) == 1


def test_browser_login_times_out(auth: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_module, "BROWSER_TIMEOUT", 0.2)

    async def test(login: LoginProcess) -> None:
        await login.start_browser_login()
        await wait_until(lambda: not is_listening(auth.port))
        error = "Nobody finished the login in time."
        await wait_until(lambda: login.current_status() == {"kind": "browser", "error": error})

    assert run_logins(auth, test) == []


def test_second_login_replaces_the_first(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        urls = await asyncio.gather(login.start_browser_login(), login.start_browser_login())
        assert login.current_status() == {"kind": "browser", "url": urls[1]}
        assert (await fetch_final_page(urls[0])).status_code == 400
        status = await login.start_device_login()
        assert not is_listening(auth.port)
        assert CLOSE_ADVICE in (await fetch_final_page(await login.start_browser_login())).text
        auth.approve_device(status["user_code"])
        polls = auth.polls
        await asyncio.sleep(3 * auth.interval)
        assert auth.polls == polls

    assert len(run_logins(auth, test)) == 1


def test_cancelled_login_ends_with_a_page(auth: FakeAuth) -> None:
    auth.delay = 30

    async def test(login: LoginProcess) -> None:
        await login.cancel()
        page = asyncio.create_task(fetch_final_page(await login.start_browser_login()))
        await wait_until(lambda: auth.token_requests)
        # Browsers open a second connection in advance.
        with socket.create_connection(("127.0.0.1", auth.port)):
            await login.cancel()
        assert "cancelled" in (await page).text
        assert login.current_status() is None

    assert run_logins(auth, test) == []


def test_device_login_gives_tokens(auth: FakeAuth) -> None:
    async def test(login: LoginProcess) -> None:
        status = await login.start_device_login()
        assert login.current_status() == status
        assert status["kind"] == "device" and status["url"] == f"{auth.url}/codex/device"
        assert 800 < status["expires"] - time.time() <= 900
        await wait_until(lambda: auth.polls >= 3)  # 403 and 404 both mean "not yet"
        assert login.current_status() == status
        auth.approve_device(status["user_code"], make_user("eve"))
        await wait_until(lambda: login.current_status() is None)

    [tokens] = run_logins(auth, test)
    assert tokens.email == "eve@example.com"


@pytest.mark.parametrize("code", ["access_denied", "expired_token", "authorization_declined"])
def test_device_code_that_is_refused_is_not_polled_again(auth: FakeAuth, code: str) -> None:
    async def test(login: LoginProcess) -> None:
        auth.deny_device((await login.start_device_login())["user_code"], code)
        error = f"OpenAI refused the login ({code})."
        await wait_until(lambda: login.current_status() == {"kind": "device", "error": error})
        polls = auth.polls
        await asyncio.sleep(3 * auth.interval)
        assert auth.polls == polls

    assert run_logins(auth, test) == []


def test_device_login_times_out(auth: FakeAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_module, "DEVICE_CODE_LIFE", 0.3)

    async def test(login: LoginProcess) -> None:
        await login.start_device_login()
        error = "Nobody finished the login in time."
        await wait_until(lambda: login.current_status() == {"kind": "device", "error": error})

    assert run_logins(auth, test) == []


@pytest.mark.parametrize(
    "trouble",
    [
        TokenTrouble(429, code="slow_down"),
        TokenTrouble(400, code="slow_down"),
        TokenTrouble(500),
        TokenTrouble(0),
    ],
)
def test_polls_slow_down(
    auth: FakeAuth, monkeypatch: pytest.MonkeyPatch, trouble: TokenTrouble
) -> None:
    monkeypatch.setattr(oauth, "POLL_SLOWDOWN", 0.5)
    auth.device_troubles.append(trouble)

    async def test(login: LoginProcess) -> None:
        status = await login.start_device_login()
        await wait_until(lambda: not auth.device_troubles)
        auth.approve_device(status["user_code"])
        begin = time.monotonic()
        await wait_until(lambda: login.current_status() is None)
        assert time.monotonic() - begin > 0.4

    assert len(run_logins(auth, test)) == 1


def test_device_login_fails_without_a_login_service(auth: FakeAuth) -> None:
    auth.close()

    async def test(login: LoginProcess) -> None:
        with pytest.raises(oauth.LoginServiceUnreachable, match="ConnectError"):
            await login.start_device_login()
        assert login.current_status() is None

    run_logins(auth, test)
