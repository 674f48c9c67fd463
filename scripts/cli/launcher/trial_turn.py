"""One turn through the whole path, by the Responses API; the reply is read as it comes."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from addons.observe import exchange_cost, format_count
from addons.start_report import GENERIC
from translate import SseReader

from ..errors import CommandFailed
from ..relay_client import error_text, relay_client, request_json
from ..user_settings import load_user_settings
from .used_relay import UsedRelay

TURN_PATH = "/v1/responses"
SILENCE_TIMEOUT = 330.0  # s; the relay gives up on a silent provider before
ACCOUNT_PROVIDER = "chatgpt"
REASONING, TEXT = "reasoning", "text"
DELTA_KINDS = {
    "response.output_text.delta": TEXT,
    "response.refusal.delta": TEXT,
    "response.reasoning_text.delta": REASONING,
    "response.reasoning_summary_text.delta": REASONING,
}
ENDINGS = "response.completed", "response.incomplete", "response.failed"

type DeltaListener = Callable[[str, str], None]  # REASONING or TEXT, and the piece


@dataclass
class TrialTurn:
    """What came back, so far."""

    asked_model: str
    provider: str = ""
    model: str = ""  # the one that really served
    dropped: str = ""
    first_token: float | None = None  # s since the request
    seconds: float = 0.0
    texts: dict[str, str] = field(default_factory=lambda: {REASONING: "", TEXT: ""})
    response: dict[str, Any] = field(default_factory=dict)
    dollars: float | None = None
    is_notional: bool = False  # the price by the API of what an account's plan covers

    @property
    def status(self) -> str:
        return str(self.response.get("status", "failed"))

    @property
    def error(self) -> str:
        return str((self.response.get("error") or {}).get("message") or "")

    @property
    def usage(self) -> dict[str, Any]:
        return self.response.get("usage") or {}

    def to_json(self) -> dict[str, Any]:
        return {
            "status": self.status,
            **self.texts,
            "error": self.error or None,
            "asked_model": self.asked_model,
            "provider": self.provider,
            "model": self.model,
            "dropped": self.dropped.split(", ") if self.dropped else [],
            "first_token_seconds": self.first_token,
            "seconds": self.seconds,
            "usage": self.usage or None,
            "dollars": self.dollars,
            "dollars_notional": self.is_notional,
        }


def run_turn(relay: UsedRelay, prompt: str, model: str, on_delta: DeltaListener) -> TrialTurn:
    """Ask the model, and pass its text on as it comes. Raises CommandFailed with the relay's words
    if the turn does not begin."""
    turn = TrialTurn(model or relay.model or first_listed_model(relay))
    body = {"model": turn.asked_model, "input": prompt, "stream": True, "store": False}
    begin = time.monotonic()
    try:
        with (
            relay_client(relay.running, SILENCE_TIMEOUT) as client,
            client.stream("POST", TURN_PATH, json=body) as reply,
        ):
            if not reply.is_success:
                raise CommandFailed(error_text(reply.status_code, reply.read(), TURN_PATH))
            turn.provider = reply.headers.get("x-relay-provider", "")
            turn.model = reply.headers.get("x-relay-model", turn.asked_model)
            turn.dropped = reply.headers.get("x-relay-dropped", "")
            for event in read_events(reply.iter_raw()):
                take_event(turn, event, begin, on_delta)
    except (httpx2.HTTPError, ValueError) as error:
        raise CommandFailed(
            f"the relay's reply broke off: {error}", relay_log_step(relay)
        ) from None
    turn.seconds = round(time.monotonic() - begin, 3)
    if not turn.response:
        raise CommandFailed("the reply ended before its last event", relay_log_step(relay))
    add_cost(turn, relay)
    return turn


def relay_log_step(relay: UsedRelay) -> str:
    return f"look into {relay.log}" if relay.log else "look at `mitmcodex logs`"


def first_listed_model(relay: UsedRelay) -> str:
    """Raises CommandFailed if the relay lists none."""
    model_list = request_json(relay.running, "GET", "/v1/models")
    match model_list:
        case {"data": [{"id": str(name)}, *_]}:
            return name
    raise CommandFailed("the provider lists no model", "name one with --model")


def read_events(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The events of a stream. Raises ValueError for one that is too large."""
    reader = SseReader()
    for piece in pieces:
        yield from parse_blocks(reader.feed(piece))
    yield from parse_blocks(reader.flush())


def parse_blocks(blocks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for block in blocks:
        try:
            event = json.loads(block)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def take_event(
    turn: TrialTurn, event: dict[str, Any], begin: float, on_delta: DeltaListener
) -> None:
    kind = str(event.get("type"))
    if part := DELTA_KINDS.get(kind):
        if turn.first_token is None:
            turn.first_token = round(time.monotonic() - begin, 3)
        turn.texts[part] += event["delta"]
        on_delta(part, event["delta"])
    elif kind in ENDINGS:
        turn.response = event["response"]


def add_cost(turn: TrialTurn, relay: UsedRelay) -> None:
    """The price by the same list as the dashboard's."""
    usage = turn.usage
    record = {
        "model": turn.model,
        "account": turn.provider == ACCOUNT_PROVIDER,
        "url": provider_address(turn.provider, relay),
        "input_tokens": usage.get("input_tokens"),
        "cached_tokens": (usage.get("input_tokens_details") or {}).get("cached_tokens"),
        "output_tokens": usage.get("output_tokens"),
    }
    if cost := exchange_cost(record):
        turn.dollars, turn.is_notional = cost.dollars, cost.notional


def provider_address(name: str, relay: UsedRelay) -> str:
    """The base URL of the provider that served."""
    if name == relay.provider_name:
        return relay.upstream
    table = load_user_settings().file.providers.get(name)
    return table.base_urls[0] if table and table.base_urls else ""


def turn_summary(turn: TrialTurn) -> str:
    """`0.4 s to the first token · 1.2 s · 12 in · 30 out · $0.0004 · deepseek-chat (deepseek)`"""
    parts = []
    if turn.first_token is not None:
        parts.append(f"{turn.first_token:.2f} s to the first token")
    parts.append(f"{turn.seconds:.2f} s in all")
    if turn.usage:
        parts.append(f"{format_count(turn.usage['input_tokens'])} tokens in")
        parts.append(f"{format_count(turn.usage['output_tokens'])} out")
    parts.append(cost_text(turn))
    place = "" if turn.provider == GENERIC else f" at {turn.provider}"
    parts.append(f"{turn.model}{place}")
    if turn.model != turn.asked_model:
        parts.append(f"asked for {turn.asked_model}")
    if turn.dropped:
        parts.append(f"dropped {turn.dropped}")
    return " · ".join(parts)


def cost_text(turn: TrialTurn) -> str:
    if turn.dollars is None:
        return "price unknown"
    sign = "≈" if turn.is_notional else ""
    return f"{sign}${turn.dollars:.6f}".rstrip("0").rstrip(".")
