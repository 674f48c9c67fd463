"""What the service tells of an account's quota, in each of its forms."""

import json
import math

import pytest

from addons.accounts.quota import (
    BURST,
    UNTOLD,
    Limit,
    Quota,
    Window,
    of_event,
    of_headers,
    of_usage,
    refused,
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
BOTH = Quota(Window(12.5, 300, 1790001000.0), Window(40.0, 10080, NOW + 600_000), None, NOW)


def test_all_forms_tell_the_same() -> None:
    assert of_headers(HEADERS, NOW) == BOTH
    assert of_event(EVENT, NOW) == BOTH
    assert of_usage(PAGE, NOW) == BOTH


def test_credits_are_kept_as_told() -> None:
    headers = {"x-codex-credits-has-credits": "True", "x-codex-credits-balance": "4.25"}
    told = {"has_credits": True, "balance": "4.25"}
    heard = of_headers(headers, NOW)
    assert heard and heard.credits == told
    page = of_usage({**PAGE, "credits": told | {"unlimited": False}}, NOW)
    assert page and page.credits == told | {"unlimited": False}
    event = of_event({**EVENT, "credits": told}, NOW)
    assert event and event.credits == told


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
def test_headers_that_tell_nothing(headers: dict[str, str]) -> None:
    assert of_headers(headers, NOW) is None


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
def test_events_that_are_not_about_the_account(event: dict[str, object]) -> None:
    assert of_event(event, NOW) is None


@pytest.mark.parametrize("page", [{}, {"rate_limit": None}, {"rate_limit": {"allowed": True}}])
def test_pages_that_tell_nothing(page: dict[str, object]) -> None:
    assert of_usage(page, NOW) is None


def test_either_window_limits_until_its_own_reset() -> None:
    full, free = Window(100.0, 300, NOW + 60), Window(99.9, 10080, NOW + 900)
    assert Quota(full, free, None, NOW).limited(NOW) == NOW + 60
    assert Quota(free, full, None, NOW).limited(NOW) == NOW + 60
    assert Quota(full, Window(101.0, 1, NOW + 900), None, NOW).limited(NOW) == NOW + 900
    assert Quota(free, None, None, NOW).limited(NOW) is None
    assert Quota(full, None, None, NOW).limited(NOW + 60) is None
    assert Quota(Window(100.0), None, None, NOW).limited(NOW) is None  # until when, nobody told
    assert Quota(full, None, {"has_credits": True}, NOW).limited(NOW) is None
    assert Quota(full, None, {"has_credits": False}, NOW).limited(NOW) == NOW + 60


def test_what_is_used_and_when_it_ends() -> None:
    assert (BOTH.used, BOTH.resets(NOW)) == (40.0, NOW + 1000)
    assert BOTH.resets(NOW + 1000) == NOW + 600_000
    assert Quota(None, None, {}, NOW).used == 0
    assert Quota(None, None, {}, NOW).resets(NOW) == math.inf


def test_a_newer_word_keeps_what_it_does_not_mention() -> None:
    newer = Quota(Window(20.0, 300, NOW + 1000), None, None, NOW + 5)
    assert newer.after(BOTH) == Quota(newer.primary, BOTH.secondary, None, NOW + 5)
    assert newer.after(None) == newer
    late = Quota(None, Window(1.0), None, NOW + 2000)
    assert late.after(BOTH).primary is None  # that window is over


def test_json() -> None:
    assert Quota(Window(1.0, 300, NOW), None, None, NOW).told() == {
        "primary": {"used_percent": 1.0, "window_minutes": 300, "resets_at": NOW},
        "secondary": None,
        "at": NOW,
    }


def limit(error: object, status: int = 429) -> Limit | None:
    return refused(status, json.dumps({"error": error}).encode(), NOW)


def test_a_usage_limit_lasts_until_its_reset() -> None:
    told = {"type": "usage_limit_reached", "resets_at": NOW + 3600, "resets_in_seconds": 9}
    assert limit(told) == Limit("usage_limit_reached", NOW + 3600)
    assert limit({"code": "usage_limit_reached", "resets_in_seconds": 900}) == Limit(
        "usage_limit_reached", NOW + 900
    )
    assert limit({"type": "usage_limit_reached"}) == Limit("usage_limit_reached", NOW + UNTOLD)
    past = {"type": "usage_limit_reached", "resets_at": NOW - 5}
    assert limit(past) == Limit("usage_limit_reached", NOW + UNTOLD)
    assert not Limit("usage_limit_reached", NOW).brief


@pytest.mark.parametrize(
    "body",
    [b'{"error": {"message": "Too many"}}', b'{"detail": "x"}', b"[1]", b"", b"\xff", b"[" * 9**5],
)
def test_a_mere_message_is_soon_over(body: bytes) -> None:
    burst = refused(429, body, NOW)
    assert burst == Limit("rate_limit_exceeded", NOW + BURST)
    assert burst.brief


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_other_refusals_never_count(status: int) -> None:
    assert limit({"type": "usage_limit_reached", "resets_in_seconds": 900}, status) is None
