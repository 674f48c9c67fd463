"""The usage page: asked for rarely, and only for accounts that somebody uses or looks at."""

from hashlib import sha256
from typing import Any

import httpx2

from addons.accounts import oauth, quota
from addons.accounts.member import Member
from addons.accounts.noseat import unreachable
from addons.accounts.seat import Seat
from addons.identity import ORIGINATOR

EVERY, SPREAD = 900.0, 300.0  # s between two questions: 15 to 20 minutes, each at its own pace
PAGES = ("wham/usage", "codex/usage")  # the second where there is no first


def due(member: Member, looked: float, now: float) -> bool:
    """Whether to ask for this one. `looked`: Unix seconds at which somebody looked at them all."""
    draw = int.from_bytes(sha256(member.name.encode()).digest()[-4:]) / 2**32
    heard = max(member.asked, member.quota.at if member.quota else 0.0)
    wanted = now - max(member.used, looked) < EVERY
    return member.dead is None and wanted and now - heard >= EVERY + draw * SPREAD
