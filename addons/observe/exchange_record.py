"""One record of each exchange: what it cost, how long it took, how it ended; told in the flow's
comment, its marker, its metadata and, in mitmdump, in one line."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from mitmproxy.http import HTTPFlow

from addons.flow_data import ATTEMPTS, RESENT
from addons.flow_data import CLIENT as KEY
from addons.observe.flow_pair import CLIENT, LEG, Rows
from translate import Exchange

FACTS = "relay.facts"  # in the metadata

# What the list of flows shows beside an exchange; ~marked finds them.
MARKS = {
    "completed": ":white_check_mark:",
    "incomplete": ":yellow_circle:",
    "failed": ":red_circle:",
    "in_progress": ":hourglass_flowing_sand:",
}
GONE = "Client disconnected", "stream reset by client"  # how mitmproxy says it
LEFT = "left"  # in place of a status, for watchers: another request takes over
RETRIED = ":arrows_counterclockwise:"  # complete in the end

type Facts = dict[str, Any]
type Watcher = Callable[[HTTPFlow, Facts], None]

# Hear of each exchange as it begins and as it ends, and of each provider that it left in between.
watchers: list[Watcher] = []


def facts(made: Exchange, rows: Rows, notes: Sequence[str], learned: str) -> Facts:
    """The record so far. Times in seconds; None for what has not come."""
    response, now = made.response, time.time()
    usage = response.get("usage") or {}
    output = usage.get("output_tokens")
    token = rows.token and rows.token - rows.sent
    writing = now - rows.token if rows.token else 0.0
    return {
        "at": round(rows.sent, 3),
        "asked": made.asked,
        "client": rows.client.metadata.get(KEY, ""),
        "provider": made.provider.name,
        "host": made.provider.host,
        "model": made.model,
        "context_window": made.provider.context_window,
        "learned": learned,
        "resent": rows.client.metadata.get(RESENT),
        "status": response["status"],
        "error": (response.get("error") or {}).get("message"),
        "reason": (response.get("incomplete_details") or {}).get("reason"),
        "dropped": list(made.dropped),
        "notes": [*rows.client.metadata.get(ATTEMPTS, ()), *notes],
        "input_tokens": usage.get("input_tokens"),
        "cached_tokens": (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        "output_tokens": output,
        "reasoning_tokens": (usage.get("output_tokens_details") or {}).get("reasoning_tokens"),
        "estimated": bool(usage.get("estimated")),
        "calls": sum(str(item["type"]).endswith("_call") for item in response["output"]),
        "first_byte": round(rows.first - rows.sent, 4) if rows.first else None,
        "first_token": round(token, 4) if token else None,
        "seconds": round(now - rows.sent, 4),
        "tokens_per_second": round(output / writing, 1) if output and writing > 0.05 else None,
    }


def comment(told: Facts) -> str:
    """`deepseek-chat · 12.3k in (9.8k cached) · 412 out · TTFT 0.8 s · 2 calls · dropped …`"""
    parts = [told["model"]]
    parts += [f"resent from {told['resent']}"] if told["resent"] else []
    if told["input_tokens"] is not None:
        cached = f" ({short(told['cached_tokens'])} cached)" if told["cached_tokens"] else ""
        about = "~" if told["estimated"] else ""
        parts += [f"{about}{short(told['input_tokens'])} in{cached}"]
        parts += [f"{about}{short(told['output_tokens'])} out"]
    if told["first_token"] is not None:
        parts.append(f"TTFT {duration(told['first_token'])}")
    if told["tokens_per_second"]:
        parts.append(f"{told['tokens_per_second']:.0f} tokens/s")
    if told["calls"]:
        parts.append(f"{told['calls']} call{'s' * (told['calls'] > 1)}")
    parts += [f"{told['status']}: {why}"[:200] for why in (told["error"], told["reason"]) if why]
    parts += told["notes"]
    parts += [f"dropped {', '.join(told['dropped'])}"] if told["dropped"] else []
    parts += ["usage estimated"] if told["estimated"] else []
    text = " · ".join(map(str, parts))
    return text.encode("utf-8", "replace").decode()  # a lone surrogate could not be saved


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 0.1 else f"{seconds * 1000:.0f} ms"


def short(count: int) -> str:
    """412, 12.3k, 1.2M"""
    if count < 1000:
        return str(count)
    number, unit = (count / 1000, "k") if count < 999_950 else (count / 1_000_000, "M")
    return f"{number:.1f}{unit}"


def mark(told: Facts) -> str:
    if told["status"] == "completed" and told["notes"]:
        return RETRIED
    return MARKS.get(told["status"], MARKS["failed"])


def write(flow: HTTPFlow, told: Facts) -> None:
    """On the flow, for its lists, filters and files."""
    flow.metadata[FACTS] = told
    flow.comment, flow.marked = comment(told), mark(told)
    tell(flow, told)


def left(flow: HTTPFlow) -> bool:
    """Whether the client went away before the end."""
    return bool(flow.error) and str(flow.error).startswith(GONE)


def tell(flow: HTTPFlow, told: Facts) -> None:
    """Never raises: the exchange goes on, whatever becomes of those who watch."""
    for watcher in list(watchers):
        try:
            watcher(flow, told)
        except Exception:
            logging.exception("codex-relay failed at telling of an exchange")


def line(told: Facts) -> str:
    """The exchange in one line of a log."""
    return f"{told['asked']} → {comment(told)} · {duration(told['seconds'])}"


class Ledger:
    """Tells of exchanges that are read from a file, too."""

    def response(self, flow: HTTPFlow) -> None:
        if not flow.live and flow.metadata.get(LEG) == CLIENT and FACTS in flow.metadata:
            logging.info(line(flow.metadata[FACTS]))


def timing(rows: Rows, received: float) -> str:
    """https://www.w3.org/TR/server-timing: our own part, and the wait for the upstream, in ms."""
    parts = [f"relay;dur={max(rows.sent - received, 0) * 1000:.1f}"]
    if rows.first:
        parts.append(f"upstream;dur={(rows.first - rows.sent) * 1000:.1f}")
    return ", ".join(parts)
