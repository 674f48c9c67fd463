"""Login without a browser on this machine: the user enters a code on OpenAI's page, we ask whether
that was done. It is not RFC 8628: the answer is a code for tokens and its verifier.
"""

import asyncio
import time
from dataclasses import dataclass, field, replace

import httpx2

from addons.accounts import oauth
from addons.accounts.oauth import CLIENT, Dead, Unreachable, code_of, issuer, unheard
from addons.http_client import PATIENCE, session

LIFE = 900.0  # s, of a device code
INTERVAL = 5.0  # s between two polls, where the service tells none
SLOWER = 5.0  # s more, when it says that we ask too often
PENDING = frozenset({403, 404})
OVER = oauth.OVER | {"expired_token", "authorization_declined"}


@dataclass(frozen=True)
class Device:
    """A code that waits for its user."""

    id: str = field(repr=False)
    user_code: str
    interval: float  # s from an answer to the next question
    expires: float  # Unix seconds

    @property
    def url(self) -> str:
        """Where the user enters the code."""
        return f"{issuer()}/codex/device"

    def slower(self) -> "Device":
        return replace(self, interval=self.interval + SLOWER)


@dataclass(frozen=True)
class Approved:
    """What `oauth.exchange` takes."""

    code: str = field(repr=False)
    verifier: str = field(repr=False)

    @property
    def back(self) -> str:
        return f"{issuer()}/deviceauth/callback"


async def device_begin() -> Device:
    """A new code to be entered. Raises Dead, Unreachable."""
    told = read(oauth.granted(await sent("usercode", client_id=CLIENT)))
    match [told.get("device_auth_id"), told.get("user_code") or told.get("usercode")]:
        case [str(id), str(user_code)] if id and user_code:
            return Device(id, user_code, seconds(told.get("interval")), time.time() + LIFE)
    raise Unreachable("the login service: an answer without a device code")


async def device_poll(device: Device) -> Approved | Device:
    """What came of it, or the device as it is to be asked for next. Raises Dead, Unreachable."""
    reply = await sent("token", device_auth_id=device.id, user_code=device.user_code)
    code = code_of(reply)
    if reply.status_code in oauth.REFUSED and code in OVER:
        raise Dead(code)
    if reply.status_code == 429 or code == "slow_down":
        return device.slower()
    if reply.status_code in PENDING:
        return device
    told = read(oauth.granted(reply))
    match [told.get("authorization_code"), told.get("code_verifier")]:
        case [str(granted), str(verifier)] if granted and verifier:
            return Approved(granted, verifier)
    raise Unreachable("the login service: an approval without a code")


async def sent(name: str, **asked: str) -> httpx2.Response:
    url = f"{issuer()}/api/accounts/deviceauth/{name}"
    try:
        async with asyncio.timeout(PATIENCE), httpx2.AsyncClient(**session()) as client:
            return await client.post(url, json=asked)
    except (httpx2.HTTPError, OSError) as error:
        raise unheard(error) from None


def read(reply: httpx2.Response) -> dict[str, object]:
    try:
        told = reply.json()
    except (ValueError, RecursionError) as error:
        raise unheard(error) from None
    return told if isinstance(told, dict) else {}


def seconds(told: object) -> float:
    """An interval, which the service writes as text."""
    try:
        found = float(str(told))
    except ValueError:
        return INTERVAL
    return found if 0 < found <= LIFE else INTERVAL
