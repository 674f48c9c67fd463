"""An account's quota, in each of the forms in which OpenAI reports it."""

import json
import math

import pytest

from addons.accounts.quota import (
    BURST_SECONDS,
    UNKNOWN_RESET_SECONDS,
    Limit,
    Quota,
    QuotaWindow,
    limit_from_refusal,
    parse_number,
    quota_from_event,
    quota_from_headers,
    quota_from_usage_page,
)

NOW = 1_790_000_000.0

HEADERS = {
    "x-codex-primary-used-percent": "12.5",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "1790001000",
    "x-codex-secondary-used-percent": "40",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-after-seconds": "600000",
}
EVENT = {
    "type": "codex.rate_limits",
    "plan_type": "plus",
    "rate_limits": {
        "primary": {"used_percent": 12.5, "window_minutes": 300, "reset_at": 1790001000},
        "secondary": {"used_percent": 40, "window_minutes": 10080, "reset_at": 1790600000},
    },
}
PAGE = {
    "plan_type": "plus",
    "rate_limit": {
        "allowed": True,
        "limit_reached": False,
        "primary_window": {
            "used_percent": 12.5,
            "limit_window_seconds": 18000,
            "reset_after_seconds": 1000,
            "reset_at": 1790001000,
        },
        "secondary_window": {
            "used_percent": 40,
            "limit_window_seconds": 604800,
            "reset_after_seconds": 600000,
        },
    },
}
BOTH = Quota(
    QuotaWindow(12.5, 300, 1790001000.0), QuotaWindow(40.0, 10080, NOW + 600_000), None, NOW
)


def test_all_forms_report_the_same_quota() -> None:
    assert quota_from_headers(HEADERS, NOW) == BOTH
    assert quota_from_event(EVENT, NOW) == BOTH
    assert quota_from_usage_page(PAGE, NOW) == BOTH


def test_credits_are_reported_unchanged() -> None:
    headers = {"x-codex-credits-has-credits": "True", "x-codex-credits-balance": "4.25"}
    credits: dict[str, object] = {"has_credits": True, "balance": "4.25"}
    from_headers = quota_from_headers(headers, NOW)
    assert from_headers and from_headers.credits == credits
    unlimited = credits | {"unlimited": False}
    from_page = quota_from_usage_page({**PAGE, "credits": unlimited}, NOW)
    assert from_page and from_page.credits == unlimited
    from_event = quota_from_event({**EVENT, "credits": credits}, NOW)
    assert from_event and from_event.credits == credits


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-codex-primary-used-percent": "much"},
        {"x-codex-primary-used-percent": "nan"},
        {"x-codex-primary-used-percent": "-1"},
        {"x-codex-primary-used-percent": "0", "x-codex-primary-window-minutes": "0"},
        {"x-codex-primary-window-minutes": "300"},
        {"x-codex-bengalfox-primary-used-percent": "50"},
    ],
)
def test_other_headers_report_no_quota(headers: dict[str, str]) -> None:
    assert quota_from_headers(headers, NOW) is None


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"type": "response.created", "rate_limits": EVENT["rate_limits"]},
        {"type": "codex.rate_limits"},
        {"type": "codex.rate_limits", "rate_limits": {"primary": None, "secondary": []}},
        {**EVENT, "metered_limit_name": "codex_bengalfox"},
    ],
)
def test_other_events_report_no_quota(event: dict[str, object]) -> None:
    assert quota_from_event(event, NOW) is None


@pytest.mark.parametrize("page", [{}, {"rate_limit": None}, {"rate_limit": {"allowed": True}}])
def test_usage_page_without_windows_reports_no_quota(page: dict[str, object]) -> None:
    assert quota_from_usage_page(page, NOW) is None


def test_full_window_limits_until_its_own_reset() -> None:
    full, free = QuotaWindow(100.0, 300, NOW + 60), QuotaWindow(99.9, 10080, NOW + 900)
    later = QuotaWindow(101.0, 1, NOW + 900)
    assert Quota(full, free, None, NOW).limited_until(NOW) == NOW + 60
    assert Quota(free, full, None, NOW).limited_until(NOW) == NOW + 60
    assert Quota(full, later, None, NOW).limited_until(NOW) == NOW + 900
    assert Quota(free, None, None, NOW).limited_until(NOW) is None
    assert Quota(full, None, None, NOW).limited_until(NOW + 60) is None


def test_full_window_without_a_reset_time_does_not_limit() -> None:
    assert Quota(QuotaWindow(100.0), None, None, NOW).limited_until(NOW) is None


def test_account_with_credits_is_not_limited() -> None:
    full = QuotaWindow(100.0, 300, NOW + 60)
    assert Quota(full, None, {"has_credits": True}, NOW).limited_until(NOW) is None
    assert Quota(full, None, {"unlimited": True}, NOW).limited_until(NOW) is None
    assert Quota(full, None, {"has_credits": False}, NOW).limited_until(NOW) == NOW + 60


def test_quota_has_the_use_of_the_fuller_window_and_the_next_reset() -> None:
    assert (BOTH.used_percent, BOTH.next_reset_after(NOW)) == (40.0, NOW + 1000)
    assert BOTH.next_reset_after(NOW + 1000) == NOW + 600_000
    assert Quota(None, None, {}, NOW).used_percent == 0
    assert Quota(None, None, {}, NOW).next_reset_after(NOW) == math.inf


def test_newer_report_keeps_what_it_does_not_mention() -> None:
    newer = Quota(QuotaWindow(20.0, 300, NOW + 1000), None, None, NOW + 5)
    assert newer.merged_with(BOTH) == Quota(newer.primary, BOTH.secondary, None, NOW + 5)
    assert newer.merged_with(None) == newer
    after_the_reset = Quota(None, QuotaWindow(1.0), None, NOW + 2000)
    assert after_the_reset.merged_with(BOTH).primary is None


def test_json_has_the_wire_names() -> None:
    assert Quota(QuotaWindow(1.0, 300, NOW), None, None, NOW).to_json() == {
        "primary": {"used_percent": 1.0, "window_minutes": 300, "resets_at": NOW},
        "secondary": None,
        "at": NOW,
    }


def limit_from_error(error: object, status: int = 429) -> Limit | None:
    return limit_from_refusal(status, json.dumps({"error": error}).encode(), NOW)


@pytest.mark.parametrize(
    ("error", "until"),
    [
        (
            {"type": "usage_limit_reached", "resets_at": NOW + 3600, "resets_in_seconds": 9},
            NOW + 3600,
        ),
        ({"code": "usage_limit_reached", "resets_in_seconds": 900}, NOW + 900),
        ({"type": "usage_limit_reached"}, NOW + UNKNOWN_RESET_SECONDS),
        ({"type": "usage_limit_reached", "resets_at": NOW - 5}, NOW + UNKNOWN_RESET_SECONDS),
    ],
)
def test_usage_limit_lasts_until_its_reset(error: dict[str, object], until: float) -> None:
    limit = limit_from_error(error)
    assert limit == Limit("usage_limit_reached", until)
    assert not limit.is_burst


@pytest.mark.parametrize(
    "body",
    [b'{"error": {"message": "Too many"}}', b'{"detail": "x"}', b"[1]", b"", b"\xff", b"[" * 9**5],
)
def test_429_without_details_is_a_burst(body: bytes) -> None:
    limit = limit_from_refusal(429, body, NOW)
    assert limit == Limit("rate_limit_exceeded", NOW + BURST_SECONDS)
    assert limit.is_burst


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_other_statuses_are_no_limit(status: int) -> None:
    error = {"type": "usage_limit_reached", "resets_in_seconds": 900}
    assert limit_from_error(error, status) is None


@pytest.mark.parametrize(
    ("value", "number"),
    [("7", 7.0), (7, 7.0), ("-1", None), ("inf", None), (10**400, None), (None, None), ([], None)],
)
def test_only_finite_numbers_from_zero_are_numbers(value: object, number: float | None) -> None:
    assert parse_number(value) == number
