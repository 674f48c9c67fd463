"""No account can serve now: why, until when, and what to do."""

from addons.accounts.member import Member
from addons.accounts.quota import Limit

BACK = 5.0  # s after which a client may come back that found no place
CURE = (
    "log in at /auth/login, or let relay_chatgpt_auth (CODEX_RELAY_CHATGPT_AUTH) name an auth.json"
    " of Codex's"
)


class NoSeat(Exception):
    """`status`, `code` and `message` are for the client; `resets_at`: Unix seconds at which it may
    come back, where that is known."""

    def __init__(
        self, status: int, code: str, message: str, resets_at: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.resets_at = status, code, message, resets_at


def no_place(now: float) -> NoSeat:
    message = "All places at the account are taken (relay_account_limit): try again soon."
    return NoSeat(429, "rate_limit_exceeded", message, now + BACK)


def limited(members: list[Member], limits: list[Limit]) -> NoSeat:
    first = min(limits, key=lambda limit: limit.until)
    message = f"The usage limit of {spoken(members)} is reached."
    return NoSeat(429, first.reason, message, first.until)


def unreachable(why: str, now: float) -> NoSeat:
    return NoSeat(503, "login_unreachable", why, now + BACK)


def over(dead: list[Member]) -> NoSeat:
    reasons = ", ".join(dict.fromkeys(str(member.dead) for member in dead))
    return NoSeat(401, "no_account", f"The login of {spoken(dead)} is over ({reasons}): {CURE}.")


def spoken(members: list[Member]) -> str:
    return ", ".join(member.tokens.email or member.name for member in members)
