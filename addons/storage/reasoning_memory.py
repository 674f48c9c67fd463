"""Reasoning of earlier turns, remembered for Chat clients that keep plain messages only.

It lies where kept responses lie, or in this process alone where these are switched off. It is a
help, no promise: a place that does not answer costs a turn its memory, and nothing else.
"""

import logging
import time
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from addons.config import addon as config
from addons.storage import response_store as store
from addons.storage.backend import Data, Limits, Notes
from addons.storage.place_memory import Memory
from addons.storage.places import limits
from addons.storage.response_store import Keeper, Unavailable
from translate import forgotten, remember, restored

RESTORED = "relay.restored"  # in the metadata: messages that had their reasoning put back
PATIENCE = 2.0  # s that a turn waits
REST = 60.0  # s that a place is left alone which could not be used
IN_MEMORY = 32_000_000  # bytes, where relay_store allows as much

type Json = dict[str, Any]

_resting: WeakKeyDictionary[Keeper, float] = WeakKeyDictionary()  # until when, monotonic


async def restore(body: Json, owner: str) -> Json:
    """A Chat client's body with the reasoning that it left out. Never raises.

    `owner`: whose conversation it is, the name of the client's key for one; owners do not share.
    """
    wanted = forgotten(body, owner)
    keys = [key for keys in wanted.values() for key in keys]
    return restored(body, wanted, await _recalled(keys)) if keys else body


def put_back(body: Json, whole: Json) -> int:
    """How many messages have more in the restored body."""
    if whole is body:
        return 0
    pairs = zip(body["messages"], whole["messages"], strict=False)
    return sum(one != other for one, other in pairs)


def keep(body: Json, owner: str, response: Json) -> None:
    """Remember the reasoning of a reply to this body, as the client sent it. Never raises.

    Before the end of the reply is handed out (`Way.heard`), as the next request may follow at once.
    """
    notes = remember(body, response["output"], owner)
    keeper = store.keeper()
    if notes and keeper is None:
        _memory(_limits()).note(notes, time.time())
    elif notes and keeper and _ready(keeper):
        keeper.write(lambda place: place.note(notes, time.time()), lambda why: _failed(keeper, why))


async def _recalled(keys: list[str]) -> Data:
    keeper = store.keeper()
    if keeper is None:
        return _memory(_limits()).noted(keys, time.time())
    if not _ready(keeper):
        return {}
    try:
        found = await keeper.ask(lambda place: place.noted(keys, time.time()), PATIENCE)
    except Unavailable as error:
        _failed(keeper, str(error))
        return {}
    _resting.pop(keeper, None)
    return found


def _ready(keeper: Keeper) -> bool:
    return _resting.get(keeper, 0) <= time.monotonic()


def _failed(keeper: Keeper, why: str) -> None:
    """Say so once, until it has worked again."""
    if keeper not in _resting:
        logging.warning(f"relay: Chat clients go on without their earlier reasoning: {why}")
    _resting[keeper] = time.monotonic() + REST


@lru_cache(1)
def _memory(limits: Limits) -> Notes:
    return Memory(limits)


def _limits() -> Limits:
    wanted = limits(config.settings())
    return Limits(wanted.seconds, min(wanted.bytes, IN_MEMORY))
