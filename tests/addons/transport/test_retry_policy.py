from email.utils import formatdate

import pytest
from mitmproxy import http
from mitmproxy.test import tflow, tutils

from addons.transport.retry_policy import build_retry_policy

NOW = 1_700_000_000.0


def failed(status: int, body: bytes = b"", spent: float = 0.0, **headers: str) -> http.HTTPFlow:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    flow = tflow.tflow(resp=http.Response.make(status, body, fields))
    flow.request.timestamp_end = NOW - spent
    return flow


def decide(flow: http.HTTPFlow, error: str | None = None, attempt: int = 1) -> float | None:
    return build_retry_policy(5, 30.0, now=lambda: NOW)(flow, error, attempt)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 529])
def test_transient_status_is_tried_again(status: int) -> None:
    assert decide(failed(status)) == 0.5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 501])
def test_lasting_status_is_not_tried_again(status: int) -> None:
    assert decide(failed(status)) is None


def test_waits_double_up_to_a_limit_and_end_with_the_count() -> None:
    policy = build_retry_policy(8, 100.0, now=lambda: NOW)
    waits = [policy(failed(500), None, attempt) for attempt in range(1, 10)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, None, None]


def test_host_where_nothing_listens_is_tried_once_more() -> None:
    flow = tflow.tflow(req=tutils.treq(timestamp_end=NOW))
    error = "nothing listens at http://127.0.0.1:9; is the server running?"
    assert decide(flow, error) == 0.5
    assert decide(flow, error, 2) is None
    assert build_retry_policy(1, 30.0, now=lambda: NOW)(flow, error, 1) is None


@pytest.mark.parametrize("error", ["[Errno 104] Connection reset", "server closed connection"])
def test_connection_error_is_tried_again(error: str) -> None:
    flow = tflow.tflow(req=tutils.treq(timestamp_end=NOW))
    assert decide(flow, error) == 0.5
    assert decide(flow, error, 5) is None


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after_ms": "250", "retry_after": "7"}, 0.25),
        ({"retry_after_ms": "soon", "retry_after": "7"}, 7.0),
        ({"retry_after": formatdate(NOW + 9, usegmt=True)}, 9.0),
        ({"retry_after": formatdate(NOW - 9, usegmt=True)}, 0.5),
        ({"retry_after": "0"}, 0.5),
        ({"retry_after": "-3"}, 0.5),
        ({"retry_after": "soon"}, 0.5),
        ({"retry_after": "nan"}, 0.5),
        ({"retry_after": "31"}, None),
        ({"retry_after": "inf"}, 0.5),
        ({"retry_after": "Mon, 01 Jan 99999999999999 00:00:00 GMT"}, 0.5),
    ],
)
def test_retry_after_is_the_wait_if_it_is_a_time_within_the_budget(
    headers: dict[str, str], wait: float | None
) -> None:
    assert decide(failed(429, **headers)) == wait


@pytest.mark.parametrize(("spent", "wait"), [(10.0, 15.0), (15.0, 15.0), (15.1, None)])
def test_budget_covers_the_whole_request(spent: float, wait: float | None) -> None:
    assert decide(failed(429, spent=spent, retry_after="15")) == wait


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"code":"insufficient_quota"}}',
        b'{"error":{"message":"x","type": "insufficient_quota","code":null}}',
        b'{"error":{"type":"exceeded_current_quota_error"}}',
        b'{"error":{"code":"billing_hard_limit_reached"}}',
        b'{"error":{"code":"insufficient_balance"}}',
    ],
)
def test_empty_account_is_not_tried_again(body: bytes) -> None:
    assert decide(failed(429, body, x_should_retry="true", retry_after="1")) is None


def test_empty_account_with_status_500_is_not_tried_again() -> None:
    """MiniMax's: MiniMax-AI/MiniMax-M2#62."""
    assert decide(failed(500, b'{"error":{"message":"insufficient balance (1008)"}}')) is None


def test_rate_limit_that_mentions_billing_is_tried_again() -> None:
    body = b'{"error":{"status":"RESOURCE_EXHAUSTED","message":"check your plan and billing"}}'
    assert decide(failed(429, body)) == 0.5


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"The usage limit has been reached","type":"usage_limit_reached",'
        b'"plan_type":"plus","resets_at":1700009999,"resets_in_seconds":9999}}',
        b'{"error":{"code":"usage_limit_reached"}}',
    ],
)
def test_used_up_limit_is_not_tried_again(body: bytes) -> None:
    assert decide(failed(429, body, x_should_retry="true", retry_after="1")) is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"Too many requests at once."}}',
        b'{"error":{"message":"Too many requests at once.","type":null,"code": null}}',
        b'{"detail":"Too many requests."}',
    ],
)
def test_rate_limit_without_a_code_waits_longer(body: bytes) -> None:
    waits = [decide(failed(429, body), None, attempt) for attempt in range(1, 5)]
    assert waits == [3.0, 3.0, 3.0, 4.0]
    assert decide(failed(429, body, retry_after="1")) == 1.0
    assert decide(failed(503, body)) == 0.5


@pytest.mark.parametrize(
    "body",
    [b"", b"slow down", b'{"error":{"message":"x","type":"tokens","code":"rate_limit_exceeded"}}'],
)
def test_other_rate_limits_wait_as_usual(body: bytes) -> None:
    assert decide(failed(429, body)) == 0.5


def test_compressed_body_is_read() -> None:
    flow = failed(429, b'{"error":{"code":"insufficient_quota"}}')
    assert flow.response
    flow.response.encode("gzip")
    assert decide(flow) is None


@pytest.mark.parametrize(
    ("status", "hint", "wait"),
    [(500, "false", None), (409, "true", 0.5), (500, "true", 0.5), (500, "maybe", 0.5)],
)
def test_providers_hint_overrules_the_status(status: int, hint: str, wait: float | None) -> None:
    assert decide(failed(status, x_should_retry=hint)) == wait
