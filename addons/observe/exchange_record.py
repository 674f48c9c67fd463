"""The record of an exchange: what it used, how long it took and how it ended. It is in the flow's
metadata, and shown as the flow's comment, as its marker and as one line of the log."""

import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from mitmproxy.http import HTTPFlow
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from addons.config import current_settings
from addons.flow_data import ATTEMPTS, CLIENT_NAME, MASK, RESENT_FROM
from addons.observe.flow_pair import CLIENT_SIDE, PAIR_SIDE, FlowPair
from translate import Exchange, printable

RECORD = "relay.facts"  # the key of the record in the flow's metadata, also of saved flows

# Markers in the list of flows, where the filter ~marked finds them.
STATUS_MARKERS = {
    "completed": ":white_check_mark:",
    "incomplete": ":yellow_circle:",
    "failed": ":red_circle:",
    "in_progress": ":hourglass_flowing_sand:",
}
RETRY_MARKER = ":arrows_counterclockwise:"  # completed after a retry or a fallback
DISCONNECT_ERRORS = "Client disconnected", "stream reset by client"  # mitmproxy's words
MAX_COMMENT_LENGTH = 4000  # characters of a flow's comment
FELL_BACK = "left"  # the status of a record when the exchange goes on with another candidate

type ExchangeRecord = dict[str, Any]
type RecordListener = Callable[[HTTPFlow, ExchangeRecord], None]

# They are called when an exchange begins, when it falls back to another candidate, and at its end.
record_listeners: list[RecordListener] = []


def build_record(
    exchange: Exchange, pair: FlowPair, notes: Sequence[str], learned: str
) -> ExchangeRecord:
    """The record of the exchange so far: times in seconds, None for values that are not known yet.

    `notes` go behind those of earlier attempts; `learned`: what the relay learned of the provider.
    """
    response, metadata, now = exchange.response, pair.client_flow.metadata, pair.current_time()
    record: ExchangeRecord = {
        "at": round(pair.sent_at, 3),
        "asked": exchange.requested_model,
        "client": metadata.get(CLIENT_NAME, ""),
        "provider": exchange.provider.name,
        "host": exchange.provider.host,
        "model": exchange.model,
        "context_window": exchange.provider.context_window,
        "learned": learned,
        "resent": metadata.get(RESENT_FROM),
        "status": response["status"],
        "error": (response.get("error") or {}).get("message"),
        "reason": (response.get("incomplete_details") or {}).get("reason"),
        "dropped": list(exchange.dropped),
        "notes": [*metadata.get(ATTEMPTS, ()), *notes],
        "calls": sum(str(item["type"]).endswith("_call") for item in response["output"]),
        **usage_fields(response.get("usage") or {}),
        **time_fields(pair, (response.get("usage") or {}).get("output_tokens"), now),
    }
    return {name: storable_value(value) for name, value in record.items()}


def storable_value(value: Any) -> Any:
    """The value with `?` for each lone surrogate, which no file, database or page could take."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list():
            return [storable_value(item) for item in value]
    return value


def usage_fields(usage: dict[str, Any]) -> ExchangeRecord:
    """Token counts of a Responses `usage`."""
    return {
        "input_tokens": usage.get("input_tokens"),
        "cached_tokens": (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        "output_tokens": usage.get("output_tokens"),
        "reasoning_tokens": (usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
        "estimated": bool(usage.get("estimated")),
    }


def time_fields(pair: FlowPair, output_tokens: int | None, now: float) -> ExchangeRecord:
    """Seconds since the request was sent up, and tokens per second since the first token."""
    first_byte, first_token = pair.first_byte_at, pair.first_token_at
    writing = now - first_token if first_token else 0.0
    speed = round(output_tokens / writing, 1) if output_tokens and writing > 0.05 else None
    return {
        "first_byte": round(first_byte - pair.sent_at, 4) if first_byte else None,
        "first_token": round(first_token - pair.sent_at, 4) if first_token else None,
        "seconds": round(now - pair.sent_at, 4),
        "tokens_per_second": speed,
    }


def save_record(flow: HTTPFlow, record: ExchangeRecord) -> None:
    """Put the record on the flow, also as comment and marker."""
    flow.metadata[RECORD] = record
    flow.marked = record_marker(record)
    flow.comment = record_comment(record)


def notify_listeners(flow: HTTPFlow, record: ExchangeRecord) -> None:
    """Call the listeners. Never raises, as the exchange goes on even if a listener fails."""
    for listener in list(record_listeners):
        try:
            listener(flow, record)
        except Exception:
            logging.exception("mitmcodex failed at recording an exchange")


def is_client_gone(flow: HTTPFlow) -> bool:
    """Whether the client disconnected before the end of the reply."""
    return bool(flow.error) and str(flow.error).startswith(DISCONNECT_ERRORS)


# The record of a saved flow

Count = Annotated[int, Field(ge=0, lt=1 << 53)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]


class SavedRecord(BaseModel):
    """What the code reads of the record of a saved flow, which others may have written."""

    model_config = ConfigDict(strict=True)

    requested_model: str = Field(alias="asked")
    provider: str
    model: str
    status: str
    url: str = ""
    host: str = ""
    context_window: Count = 0
    learned: str | None = None  # None: of an older relay
    variant: dict[str, Any] | None = None
    advice: str = ""
    resent: str | None = None
    error: str | None = None
    reason: str | None = None
    dropped: list[str] = []
    notes: list[str] = []
    calls: Count = 0
    estimated: bool = False
    input_tokens: Count | None = None
    cached_tokens: Count | None = None
    output_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    first_byte: Seconds | None = None
    first_token: Seconds | None = None
    tokens_per_second: Seconds | None = None
    seconds: Seconds


def saved_record(flow: HTTPFlow) -> ExchangeRecord | None:
    """The record in the flow's metadata; None if there is none, or it is no record of ours."""
    try:
        return SavedRecord.model_validate(flow.metadata.get(RECORD)).model_dump(by_alias=True)
    except ValidationError:
        return None


# The record as text


def record_comment(record: ExchangeRecord) -> str:
    """`deepseek-chat · 12.3k in (9.8k cached) · 412 out · TTFT 0.8 s · 2 calls · dropped …`"""
    calls = record["calls"]
    parts = [printable(record["model"], 200)]
    parts += [f"resent from {record['resent']}"] if record["resent"] else []
    parts += usage_words(record)
    if record["first_token"] is not None:
        parts.append(f"TTFT {format_seconds(record['first_token'])}")
    if record["tokens_per_second"]:
        parts.append(f"{record['tokens_per_second']:.0f} tokens/s")
    parts += [f"{calls} call{'s' * (calls > 1)}"] if calls else []
    reasons = filter(None, (record["error"], record["reason"]))
    parts += [printable(f"{record['status']}: {reason}", 200) for reason in reasons]
    parts += record["notes"]
    parts += [f"dropped {', '.join(record['dropped'])}"] if record["dropped"] else []
    parts += ["usage estimated"] if record["estimated"] else []
    return printable(" · ".join(map(str, parts)), MAX_COMMENT_LENGTH)


def usage_words(record: ExchangeRecord) -> list[str]:
    if record["input_tokens"] is None:
        return []
    cached_tokens = record["cached_tokens"]
    cached = f" ({format_count(cached_tokens)} cached)" if cached_tokens else ""
    sign = "~" if record["estimated"] else ""
    return [
        f"{sign}{format_count(record['input_tokens'])} in{cached}",
        f"{sign}{format_count(record['output_tokens'] or 0)} out",
    ]


def record_marker(record: ExchangeRecord) -> str:
    if record["status"] == "completed" and record["notes"]:
        return RETRY_MARKER
    return STATUS_MARKERS.get(record["status"], STATUS_MARKERS["failed"])


def record_log_line(record: ExchangeRecord) -> str:
    """The exchange in one line of a log, of at most `relay_max_log_line` characters."""
    if current_settings().private:
        record = without_contents(record)
    model, seconds = printable(record["asked"], 80), format_seconds(record["seconds"])
    limit = current_settings().max_log_line - len(model) - len(seconds) - 6
    return f"{model} → {printable(record_comment(record), limit)} · {seconds}"


def without_contents(record: ExchangeRecord) -> ExchangeRecord:
    """The record without texts that may repeat what people and models say, as errors do."""
    hidden_error = MASK if record["error"] else None
    return {**record, "error": hidden_error, "dropped": [], "notes": []}


def format_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def format_count(count: int) -> str:
    """412, 12.3k, 1.2M"""
    if count < 1000:
        return str(count)
    number, unit = (count / 1000, "k") if count < 999_950 else (count / 1_000_000, "M")
    return f"{number:.1f}{unit}"


def server_timing(pair: FlowPair, received_at: float) -> str:
    """A `server-timing` header: ms from `received_at` to the request upward, and from there to the
    upstream's first byte. https://www.w3.org/TR/server-timing"""
    parts = [f"relay;dur={max(pair.sent_at - received_at, 0) * 1000:.1f}"]
    if pair.first_byte_at:
        parts.append(f"upstream;dur={(pair.first_byte_at - pair.sent_at) * 1000:.1f}")
    return ", ".join(parts)


class RecordLog:
    """The addon that logs the exchanges that mitmproxy reads from a file."""

    def response(self, flow: HTTPFlow) -> None:
        is_client_side = flow.metadata.get(PAIR_SIDE) == CLIENT_SIDE
        if not flow.live and is_client_side and (record := saved_record(flow)):
            logging.info(record_log_line(record))
