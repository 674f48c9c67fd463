"""The order in which accounts serve a conversation. Pure: it depends on its arguments only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from addons.config import AccountStrategy


@dataclass(frozen=True)
class AccountLoad:
    """How busy an account is, and how much of its quota is used."""

    name: str
    can_serve_now: bool = True  # now, without waiting
    used_percent: float = 0.0
    next_reset_at: float = 0.0  # Unix seconds
    in_flight: int = 0


type SortKey = tuple[object, ...]


def order_accounts(
    strategy: AccountStrategy,
    loads: Sequence[AccountLoad],
    *,
    session: str,
    previous: str | None,
    selected: str,
    conversation_count: int,
) -> list[str]:
    """The names of the accounts, the best first. `previous`: the account that has served this
    conversation so far, and comes first. `conversation_count`: how many began before this one."""
    names = [load.name for load in loads]

    def by_rotation(load: AccountLoad) -> SortKey:
        return ((names.index(load.name) - conversation_count) % len(names),)

    def by_session(load: AccountLoad) -> SortKey:
        """The same order at all times and in every process. If an account is removed, only its
        own sessions move to others."""
        if not session:
            return by_usage(load)
        return (sha256(f"{session}\n{load.name}".encode()).digest(),)

    keys: dict[AccountStrategy, Callable[[AccountLoad], SortKey]] = {
        "selected": lambda load: (load.name != selected, *by_usage(load)),
        "least_used": by_usage,
        "round_robin": by_rotation,
        "sticky": by_session,
    }
    sort_key = keys[strategy]
    waits_for_account = strategy == "selected" or (strategy == "sticky" and bool(session))

    def full_key(load: AccountLoad) -> SortKey:
        is_busy = not load.can_serve_now and not waits_for_account
        return load.name != previous, is_busy, *sort_key(load)

    return [load.name for load in sorted(loads, key=full_key)]


def by_usage(load: AccountLoad) -> SortKey:
    """The least used account first. Among equals, the one whose quota resets first, as quota that
    is left at the reset is lost."""
    return load.used_percent, load.next_reset_at, load.in_flight, load.name
