"""Targets that accounts serve: each becomes one target for each account, with a lease."""

import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.accounts import AccountUnavailable, Lease, account_pool
from addons.ingress import JSON_HEADERS, answer_flow, is_codex
from addons.routing.model_selection import ModelTarget
from addons.transport import RetryPolicy
from translate import FAILURE_RULES, MAX_RETRY_AFTER, USAGE_LIMIT_REACHED, error_body, failure_rule


async def with_accounts(
    model_targets: Iterable[ModelTarget], session: Callable[[], Awaitable[str]]
) -> list[ModelTarget]:
    """The same targets in their order, with leases for those that accounts serve. `session` returns
    the conversation's id, and is called for such targets only. Raises AccountUnavailable if no
    target is left."""
    usable: list[ModelTarget] = []
    faults: list[AccountUnavailable] = []
    for model_target in model_targets:
        if not model_target.target.provider.accounts:
            usable.append(model_target)
            continue
        try:
            leases = await account_pool().acquire_leases(await session())
        except AccountUnavailable as fault:
            faults.append(fault)
            continue
        usable += [with_lease(model_target, lease) for lease in leases]
    if faults and not usable:
        raise faults[0]
    return usable


def with_lease(model_target: ModelTarget, lease: Lease) -> ModelTarget:
    """The target for the account of this lease. Each account counts as a host of its own, as no
    other account can use the content that OpenAI encrypts for it."""
    target = model_target.target
    provider = target.provider.at_host(lease.summary.id)
    return replace(model_target, target=replace(target, provider=provider, lease=lease))


def answer_unavailable(flow: HTTPFlow, error: AccountUnavailable) -> None:
    """Answer the client with the error. Codex gets a 400 in place of a 401, after which it would
    renew its own login in vain."""
    status = error.status
    if status == 401 and is_codex(flow):
        status = FAILURE_RULES[401].status
    seconds = math.ceil((error.resets_at or 0) - time.time())
    headers = {"retry_after": str(seconds)} if 0 < seconds <= MAX_RETRY_AFTER else {}
    fields: dict[str, Any] = {}
    if error.code == USAGE_LIMIT_REACHED and error.resets_at:
        fields = {"type": error.code, "resets_at": int(error.resets_at)}
        fields["resets_in_seconds"] = max(seconds, 0)
    body = error_body(status, error.message, code=error.code, **fields)
    answer_flow(flow, status, body, **JSON_HEADERS, **headers)


class RetryWithRefresh:
    """The retry policy of a request with a lease: the first time OpenAI refuses the login, the next
    attempt waits until the login is renewed."""

    def __init__(self, lease: Lease, policy: RetryPolicy) -> None:
        self._lease, self._policy = lease, policy
        self._is_refreshed: Callable[[], bool] | None = None

    def retry_delay(self, flow: HTTPFlow, error: str | None, attempt: int) -> float | None:
        """Seconds until the next attempt; None: no further attempt."""
        reply = None if error else flow.response
        is_refused = reply is not None and failure_rule(reply.status_code).renews_login
        if is_refused and self._is_refreshed is None:
            self._is_refreshed = self._lease.refresh_login().done
            return 0.0
        return self._policy(flow, error, attempt)

    def is_ready(self) -> bool:
        """Whether the next attempt can leave."""
        return self._is_refreshed is None or self._is_refreshed()
