"""Which account serves a conversation. Pure: it knows what is told to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from addons.config.account_settings import Strategy


@dataclass(frozen=True)
class Candidate:
    """An account that may serve."""

    name: str
    free: bool = True  # now, without waiting
    used: float = 0.0  # percent of its quota
    resets: float = 0.0  # Unix seconds at which its next window begins
    in_flight: int = 0


type Key = tuple[object, ...]


def order(
    strategy: Strategy,
    candidates: Sequence[Candidate],
    *,
    session: str,
    served: str | None,
    selected: str,
    turn: int,
) -> list[str]:
    """Names, the best first. `served`: who has served this conversation, and goes on; `turn`:
    counts the conversations."""
    names = [candidate.name for candidate in candidates]

    def by_turn(candidate: Candidate) -> Key:
        return ((names.index(candidate.name) - turn) % len(names),)

    def by_session(candidate: Candidate) -> Key:
        """The same for ever, and in every process; only those of a missing one move."""
        return (
            by_use(candidate)
            if not session
            else (sha256(f"{session}\n{candidate.name}".encode()).digest(),)
        )

    keys: dict[Strategy, Callable[[Candidate], Key]] = {
        "selected": lambda candidate: (candidate.name != selected, *by_use(candidate)),
        "least_used": by_use,
        "round_robin": by_turn,
        "sticky": by_session,
    }
    key, waits = keys[strategy], strategy == "selected" or (strategy == "sticky" and session)
    ordered = sorted(
        candidates, key=lambda one: (one.name != served, not one.free and not waits, *key(one))
    )
    return [candidate.name for candidate in ordered]


def by_use(candidate: Candidate) -> Key:
    """Among equals that whose quota comes back first: what is not used until then is lost."""
    return candidate.used, candidate.resets, candidate.in_flight, candidate.name
