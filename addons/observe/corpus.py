"""Completed turns as OpenAI messages, a line each, in a file a day: a corpus of one's own work.

Off unless `relay_record` names a folder. Keys and tokens are masked, whatever `relay_redact` says.
"""

import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from addons.config import addon as config
from addons.ingress.redaction import all_masked
from addons.observe import exchange_record as ledger
from translate import Exchange

# Building and writing a long conversation takes longer than the event loop should wait.
_thread = ThreadPoolExecutor(1, "record")


def keep(made: Exchange, facts: ledger.Facts) -> None:
    """Record the turn, if that is wanted and it is one that completed."""
    settings = config.settings()
    if settings.record and facts["status"] == "completed":
        secrets = [settings.api_key, *(key.secret for key in settings.client_key)]
        known = [secret.get_secret_value() for secret in secrets]
        _thread.submit(write, Path(settings.record).expanduser(), made, facts, known)


def write(folder: Path, made: Exchange, facts: ledger.Facts, secrets: list[str]) -> None:
    now = time.gmtime()
    try:
        talk = made.conversation()
        if talk is None:
            return
        line = json.dumps(entry(all_masked(talk, secrets), facts, now), ensure_ascii=False)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / time.strftime("%Y-%m-%d.jsonl", now)
        path.touch(0o600)
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{line}\n")
    except Exception as error:  # the turn itself is delivered, and nobody waits for this
        logging.warning(f"relay_record: {folder}: {error}")


def entry(talk: dict[str, Any], facts: ledger.Facts, now: time.struct_time) -> dict[str, Any]:
    """https://platform.openai.com/docs/guides/supervised-fine-tuning: `messages` and `tools`."""
    names = ("provider", "model", "input_tokens", "output_tokens", "seconds")
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", now)
    return {**talk, "metadata": {"at": at, **{name: facts[name] for name in names}}}


class Record:
    def done(self) -> None:
        """What was to be written is."""
        _thread.shutdown(wait=True)
