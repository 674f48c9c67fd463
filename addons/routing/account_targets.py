"""Places at accounts: a way that leads to accounts becomes one for each that may serve."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.accounts import addon as accounts
from addons.accounts.lease import Seat
from addons.accounts.noseat import NoSeat
from addons.ingress import routes
from addons.ingress.local_reply import JSON, answer
from addons.routing.model_selection import Choice
from addons.transport import relay_stream as transport
from translate import error_body

USAGE_LIMIT = "usage_limit_reached"  # by its type Codex knows it, and tells when to come back

type Policy = Callable[[HTTPFlow, str | None, int], float | None]


async def seated(choices: Iterable[Choice], session: Callable[[], str]) -> list[Choice]:
    """For a request of this conversation, in their order. Raises NoSeat where no way is left."""
    made: list[Choice] = []
    faults: list[NoSeat] = []
    for choice in choices:
        if not choice.target.provider.accounts:
            made.append(choice)
            continue
        try:
            seats = await accounts.pool().seats(session())
        except NoSeat as fault:
            faults.append(fault)
            continue
        made += [sitting(choice, seat) for seat in seats]
    if faults and not made:
        raise faults[0]
    return made


def sitting(choice: Choice, seat: Seat) -> Choice:
    """Its own provider, as nobody else can read what one account was given sealed."""
    provider = choice.target.provider.at(seat.account.id)
    return replace(choice, target=replace(choice.target, provider=provider, seat=seat))


SOON = 60.0  # s; a client that waits longer than that is not told to


def decline(flow: HTTPFlow, why: NoSeat) -> None:
    """At a 401 Codex renews a login of its own, which is none of these."""
    codex = routes.from_codex(flow.request.headers) or not transport.own(flow)
    status = 400 if why.status == 401 and codex else why.status
    left = (why.resets_at or 0) - time.time()
    wait = {"retry_after": str(math.ceil(left))} if 0 < left <= SOON else {}
    facts: dict[str, Any] = {}
    if why.code == USAGE_LIMIT and why.resets_at:
        facts = {"type": why.code, "resets_at": int(why.resets_at)}
        facts["resets_in_seconds"] = max(math.ceil(left), 0)
    answer(flow, status, error_body(status, why.message, code=why.code, **facts), **JSON, **wait)


class Renewing:
    """A line's policy and readiness at a seat: a login that is refused once is renewed."""

    def __init__(self, seat: Seat, policy: Policy) -> None:
        self._seat, self._policy = seat, policy
        self._ready: Callable[[], bool] | None = None

    def retry(self, flow: HTTPFlow, error: str | None, attempt: int) -> float | None:
        refused = not error and flow.response is not None and flow.response.status_code == 401
        if refused and self._ready is None:
            self._ready = self._seat.renew().done
            return 0.0
        return self._policy(flow, error, attempt)

    def ready(self) -> bool:
        return self._ready is None or self._ready()
