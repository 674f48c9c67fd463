"""One account of the pool: cookies, limits and state."""

import math
from pathlib import Path

import pytest

from addons.accounts.member import MAX_COOKIES, AccountCookies, Member
from addons.accounts.quota import Limit, Quota, QuotaWindow
from addons.accounts.token_refresh import TokenRefresher
from addons.accounts.vault import Vault, VaultLogin
from tests.addons.accounts.pool_harness import ADA, BASE_URL, NOW

SERVICE = "https://chatgpt.com/backend-api/codex"
USAGE_LIMIT = Limit("usage_limit_reached", NOW + 60)
BURST_LIMIT = Limit("rate_limit_exceeded", NOW + 3)


@pytest.fixture
def member(tmp_path: Path) -> Member:
    store = VaultLogin(Vault(tmp_path / "logins"), ADA.account_name)
    cookies = AccountCookies(BASE_URL)
    return Member(ADA.account_name, "login", TokenRefresher(store), cookies, ADA)


def test_cookies_are_for_one_host_and_expire() -> None:
    cookies = AccountCookies(SERVICE)
    ours = "ours=1; Domain=.chatgpt.com; Path=/; Max-Age=60; Secure"
    cookies.store_cookies([ours, "far=1; Domain=openai.com"])
    odd_lines = ["\x00", "long=" + "x" * 5000]
    cookies.store_cookies(["elsewhere=1; Path=/other; Max-Age=60", "over=1; Max-Age=0", *odd_lines])
    assert cookies.cookie_header() == "ours=1"
    lines = cookies.persistent_cookies()
    assert [line.partition("=")[0] for line in lines] == ["elsewhere", "ours"]
    assert AccountCookies("https://chatgpt.com/", lines).cookie_header() == "ours=1"
    assert AccountCookies("https://example.com/", lines).cookie_header() == ""
    cookies.store_cookies(["ours=1; Domain=.chatgpt.com; Path=/; Max-Age=0"])
    assert cookies.cookie_header() == ""


def test_number_of_cookies_is_limited() -> None:
    cookies = AccountCookies(SERVICE)
    cookies.store_cookies([f"c{n}=1" for n in range(200)])
    assert 0 < cookies.cookie_header().count("=") <= MAX_COOKIES


def test_changed_cookies_are_saved_once() -> None:
    cookies = AccountCookies(SERVICE)
    assert cookies.take_unsaved() is None
    cookies.store_cookies(["session=1"])  # which ends with the process
    assert cookies.take_unsaved() is None
    cookies.store_cookies(["ours=1; Path=/; Max-Age=60"])
    lines = cookies.take_unsaved()
    assert lines and lines == cookies.persistent_cookies()
    assert cookies.take_unsaved() is None
    assert AccountCookies(SERVICE, lines).take_unsaved() is None


def test_cookie_without_a_value_stays_without_one() -> None:
    cookies = AccountCookies(SERVICE)
    cookies.store_cookies(["flag; Path=/; Max-Age=60"])
    assert cookies.cookie_header() == "flag"
    assert AccountCookies(SERVICE, cookies.persistent_cookies()).cookie_header() == "flag"


@pytest.mark.parametrize("age", [10**12, 10**20])
def test_endless_cookie_gets_the_last_date(age: int) -> None:
    cookies = AccountCookies(SERVICE)
    cookies.store_cookies([f"ours=1; Path=/; Max-Age={age}"])
    [line] = cookies.persistent_cookies()
    assert "Expires=Fri, 31 Dec 9999" in line
    assert AccountCookies("https://chatgpt.com/", (line,)).cookie_header() == "ours=1"


def test_burst_does_not_hide_a_longer_limit(member: Member) -> None:
    member.record_limit(BURST_LIMIT, NOW)
    assert member.current_limit(NOW) == BURST_LIMIT
    member.record_limit(USAGE_LIMIT, NOW)
    member.record_limit(BURST_LIMIT, NOW)
    member.record_limit(None, NOW)
    assert member.current_limit(NOW) == USAGE_LIMIT
    assert member.current_limit(NOW + 60) is None


def test_longer_limit_of_refusal_and_quota_counts(member: Member) -> None:
    member.record_limit(USAGE_LIMIT, NOW)
    member.update_quota(Quota(QuotaWindow(100.0, 300, NOW + 900), None, None, NOW))
    assert member.current_limit(NOW) == Limit("usage_limit_reached", NOW + 900)
    member.forget_limits()
    assert member.current_limit(NOW) is None and member.quota is None


def test_load_reports_quota_and_readiness(member: Member) -> None:
    load = member.current_load(NOW, 1)
    assert (load.can_serve_now, load.used_percent, load.next_reset_at) == (True, 0.0, math.inf)
    member.update_quota(Quota(QuotaWindow(30.0, 300, NOW + 60), None, None, NOW))
    member.in_flight = 1
    load = member.current_load(NOW, 1)
    assert (load.can_serve_now, load.used_percent, load.next_reset_at) == (False, 30.0, NOW + 60)


def test_summary_shows_the_most_serious_state(member: Member) -> None:
    def state(now: float = NOW) -> tuple[str, str | None, float | None]:
        summary = member.summarize(now, 1, selected=True)
        return summary.state, summary.reason, summary.until

    assert state() == ("ready", None, None)
    member.record_limit(BURST_LIMIT, NOW)
    assert state() == ("busy", "rate_limit_exceeded", NOW + 3)
    member.record_limit(USAGE_LIMIT, NOW)
    assert state() == ("limited", "usage_limit_reached", NOW + 60)
    member.set_login(ADA, "invalid_grant")
    assert state() == ("dead", "invalid_grant", None)
