"""A corpus of the user's own work: completed turns as Chat messages, one line for each turn and one
file for each day.

Off unless `relay_record` names a folder. Keys and tokens are masked even if `relay_redact` is off.
"""

import logging
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from addons.config import current_settings
from addons.ingress import mask_json
from addons.large_work import run_in_turns
from addons.observe.exchange_record import ExchangeRecord
from addons.private_files import append_private_text
from translate import LARGE_JSON, Exchange, dump_json_in_steps

METADATA_FIELDS = ("provider", "model", "input_tokens", "output_tokens", "seconds")

# A thread of its own: building and writing a long conversation would hold up the event loop, and in
# the storage thread the requests that wait for storage.
_thread = ThreadPoolExecutor(1, "relay-corpus")
MAX_WAITING = 200  # turns; each keeps its request in memory
_waiting_turns: set[Future[None]] = set()


def record_turn(
    exchange: Exchange, record: ExchangeRecord, credentials: Iterable[str] = ()
) -> None:
    """Append the turn to the corpus if it completed and `relay_record` is set. `credentials`: the
    values of the headers by which the upstream was asked; they are masked.

    Logs failures: the thread has ended if the script was reloaded meanwhile.
    """
    settings = current_settings()
    if settings.record and record["status"] == "completed":
        folder = Path(settings.record)
        keys = [settings.api_key, *(key.secret for key in settings.client_key)]
        secrets = [*credentials, *(key.get_secret_value() for key in keys)]
        work = partial(append_turn, folder, exchange, record, secrets)
        if len(exchange.body) > LARGE_JSON:
            work = partial(run_in_turns, work)
        try:
            if len(_waiting_turns) >= MAX_WAITING:
                raise RuntimeError(f"{MAX_WAITING} turns wait to be written; this one is left out")
            turn = _thread.submit(work)
            _waiting_turns.add(turn)
            turn.add_done_callback(_waiting_turns.discard)
        except RuntimeError as error:
            logging.warning(f"relay_record: {folder}: {error}")


def append_turn(
    folder: Path, exchange: Exchange, record: ExchangeRecord, secrets: list[str]
) -> None:
    """Write one line to the file of today. Never raises, but logs failures."""
    now = time.gmtime()
    try:
        conversation = exchange.chat_conversation()
        if conversation is None:
            return
        entry = corpus_entry(mask_json(conversation, secrets), record, now)
        path = folder / time.strftime("%Y-%m-%d.jsonl", now)
        append_private_text(path, f"{dump_json_in_steps(entry).decode()}\n")
    except Exception as error:
        logging.warning(f"relay_record: {folder}: {error}")


def corpus_entry(
    conversation: dict[str, Any], record: ExchangeRecord, now: time.struct_time
) -> dict[str, Any]:
    """One line of the corpus: `messages` and `tools`, as for OpenAI's fine-tuning, and `metadata`.

    https://platform.openai.com/docs/guides/supervised-fine-tuning
    """
    fields = {name: record[name] for name in METADATA_FIELDS}
    metadata = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", now), **fields}
    return {**conversation, "metadata": metadata}


class Corpus:
    """The addon that waits, when the relay ends, until every turn is written."""

    def done(self) -> None:
        _thread.shutdown(wait=True)
