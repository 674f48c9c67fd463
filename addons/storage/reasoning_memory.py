"""Reasoning of earlier turns, remembered for Chat clients that send back plain messages only.

It is stored with the responses, or in the memory of this process if `relay_store` is off. If the
storage fails, the turn goes on without its earlier reasoning.
"""

import logging
import time
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from addons.config import current_settings
from addons.storage.backend import MemoryNotes, NoteBackend, Notes, StorageLimits, storage_limits
from addons.storage.response_store import ResponseWriter, response_writer
from addons.storage.worker import StorageSuspended, StorageUnavailable
from translate import ConversationKeys, insert_reasoning, reasoning_to_remember

RESTORED_COUNT = "relay.restored"  # key of a flow's metadata: how many messages were restored
RECALL_TIMEOUT = 1.0  # s that a turn waits for its earlier reasoning
FAILURE_PAUSE = 60.0  # s for which the relay does not use the storage after a failure
MAX_IN_MEMORY = 32_000_000  # bytes, unless relay_store_limit allows fewer

type Json = dict[str, Any]

_paused_until: WeakKeyDictionary[ResponseWriter, float] = WeakKeyDictionary()  # time.monotonic()


async def restore_reasoning(body: Json, keys: ConversationKeys) -> Json:
    """A Chat client's body with the reasoning that the client left out. Never raises.

    `keys`: those of the body; reasoning is found under the same owner only.
    """
    wanted = [key for message_keys in keys.missing.values() for key in message_keys]
    notes = await _recall_notes(wanted) if wanted else {}
    return insert_reasoning(body, keys.missing, notes) if notes else body


def count_restored(body: Json, restored_body: Json) -> int:
    """How many messages of the body have reasoning restored."""
    if restored_body is body:
        return 0
    pairs = zip(body["messages"], restored_body["messages"], strict=False)
    return sum(before is not after for before, after in pairs)


def remember_reasoning(keys: ConversationKeys, response: Json) -> None:
    """Remember the reasoning of this response to the request with these keys. Never raises.

    Call it before the client gets the end of the reply, as its next request may follow at once.
    """
    notes = reasoning_to_remember(keys, response["output"])
    writer = response_writer()
    if notes and writer is None:
        _memory_notes(_memory_limits()).save_notes(notes, time.time())
    elif notes and writer and _is_in_use(writer):
        writer.write(
            lambda backend: backend.save_notes(notes, time.time()),
            lambda why: _pause_after_failure(writer, why),
        )


async def _recall_notes(keys: list[str]) -> Notes:
    writer = response_writer()
    if writer is None:
        return _memory_notes(_memory_limits()).load_notes(keys, time.time())
    if not _is_in_use(writer):
        return {}
    try:
        notes = await writer.ask(
            lambda backend: backend.load_notes(keys, time.time()), RECALL_TIMEOUT
        )
    except StorageSuspended:
        return {}
    except StorageUnavailable as error:
        _pause_after_failure(writer, str(error))
        return {}
    _paused_until.pop(writer, None)
    return notes


def _is_in_use(writer: ResponseWriter) -> bool:
    return _paused_until.get(writer, 0) <= time.monotonic()


def _pause_after_failure(writer: ResponseWriter, why: str) -> None:
    """Pause the use of the storage. The failure is logged once, until the storage works again."""
    if writer not in _paused_until:
        logging.warning(f"relay: Chat clients go on without their earlier reasoning: {why}")
    _paused_until[writer] = time.monotonic() + FAILURE_PAUSE


@lru_cache(1)
def _memory_notes(limits: StorageLimits) -> NoteBackend:
    return MemoryNotes(limits)


def _memory_limits() -> StorageLimits:
    limits = storage_limits(current_settings())
    return StorageLimits(limits.max_age, min(limits.max_bytes, MAX_IN_MEMORY))
