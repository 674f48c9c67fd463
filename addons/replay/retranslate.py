"""Translates a recorded exchange again, with today's code and settings, and compares it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import unified_diff
from typing import Any

from mitmproxy.http import HTTPFlow, Message, Response

from addons.config import available_providers, current_settings
from addons.exchange import FallbackPlan, build_candidate, whole_reply
from addons.flow_data import REPLAY_DECLINED, client_name
from addons.ingress import ROUTE_KEY, Route, is_codex
from addons.observe import saved_record
from addons.routing import DIALECT_PATHS, ModelTarget, Target, configured_provider
from addons.storage import (
    RESTORED_COUNT,
    StorageUnavailable,
    count_restored,
    load_history,
    resolve_references,
    restore_reasoning,
)
from addons.transport import decompress_bounded
from addons.views import assemble_reply, parse_stream
from translate import (
    STREAM_DONE,
    BadRequest,
    Exchange,
    ExchangeContext,
    ModelVariant,
    StoredResponse,
    decode_request,
    is_event_stream,
    load_json,
    printable,
    read_conversation_keys,
)

type Json = dict[str, Any]
MAX_DIFF_LINES = 200
EVENTS_COMPARED = 20  # from the first difference on
# Of each side, from the first difference on: the time of a diff grows with their square.
MAX_COMPARED_LINES = 2000
CONTEXT_LINES = 3
MAX_CONTENT_BYTES = 128 << 20  # of a recorded body, decompressed

CLOSING_EVENTS = ("response.completed", "response.incomplete", "response.failed")
HEARTBEAT = "response.in_progress"  # a regular event, too, so the first one is compared


class CannotRetranslate(Exception):
    """The exchange cannot be translated again as it was; the message says why."""


@dataclass(frozen=True)
class RecordedExchange:
    """The two flows of an exchange."""

    client_flow: HTTPFlow
    upstream_flow: HTTPFlow


@dataclass(frozen=True)
class ReplyIdentity:
    """What the relay itself put into a response: the id, the times, and whether it stored it."""

    response_id: str = "resp_again"
    created_at: int = 0
    completed_at: int = 0
    is_stored: bool = False


@dataclass(frozen=True)
class ClientReply:
    """The reply that the client received, without what depends on time alone."""

    compared_values: list[Any]  # the events of a stream, or one body
    is_stream: bool
    response_identity: ReplyIdentity = field(default_factory=ReplyIdentity)

    @classmethod
    def from_response(cls, response: Response | None) -> "ClientReply":
        """Raises CannotRetranslate."""
        body = recorded_content(response)
        values = comparable_values(body)
        reply = assemble_reply(values) if is_event_stream(body) else values[0]
        return cls(values, is_event_stream(body), reply_identity(reply))

    @property
    def has_closing_event(self) -> bool:
        return bool(self.compared_values) and _is_closing(self.compared_values[-1])


def comparable_values(body: bytes) -> list[Any]:
    """The events of a stream or the one body, as JSON or as text.

    Sequence numbers and repeated heartbeats are left out: they depend on time.
    """
    if not is_event_stream(body):
        try:
            return [load_json(body)]
        except ValueError:
            return [body.decode("utf-8", "replace")]
    values: list[Any] = []
    is_heartbeat = False
    for event in parse_stream(body):
        if event.is_comment or (is_heartbeat and _is_type(event.json_value, HEARTBEAT)):
            continue
        is_heartbeat = is_heartbeat or _is_type(event.json_value, HEARTBEAT)
        if isinstance(event.json_value, dict):
            event.json_value.pop("sequence_number", None)
        values.append(event.raw_text or event.json_value)
    return values


def reply_identity(reply: Any) -> ReplyIdentity:
    """The identity in a whole reply of either dialect."""
    match reply:
        case {"id": str(response_id), "created_at": created_at}:
            completed_at, is_stored = reply.get("completed_at") or 0, bool(reply.get("store"))
            return ReplyIdentity(response_id, created_at, completed_at, is_stored)
        case {"id": str(chat_id), "created": created_at}:
            return ReplyIdentity(f"resp_{chat_id.removeprefix('chatcmpl-')}", created_at)
    return ReplyIdentity()


def _is_closing(value: Any) -> bool:
    if not isinstance(value, dict):
        return bool(value == STREAM_DONE.decode())
    return _is_type(value, *CLOSING_EVENTS) or "error" in value


def _is_type(value: Any, *type_names: str) -> bool:
    return isinstance(value, dict) and value.get("type") in type_names


async def find_differences(recorded: RecordedExchange) -> list[str]:
    """The lines of unified diffs between then and today; empty without a difference.

    Raises CannotRetranslate.
    """
    client_reply = ClientReply.from_response(recorded.client_flow.response)
    try:
        exchange = await rebuild_exchange(recorded, client_reply.response_identity)
    except BadRequest as error:
        return [f"today the relay refuses it: {error.message}"]
    return [
        *_request_differences(recorded, exchange),
        *_reply_differences(recorded, client_reply, exchange),
    ]


async def rebuild_exchange(recorded: RecordedExchange, identity: ReplyIdentity) -> Exchange:
    """The exchange as it is before the first byte of the reply.

    Raises BadRequest, CannotRetranslate.
    """
    client = recorded.client_flow
    record = saved_record(client)
    if record is None or record["learned"] is None:
        raise CannotRetranslate("its record is missing, or of an older relay")
    if any(REPLAY_DECLINED in flow.metadata for flow in (client, recorded.upstream_flow)):
        raise CannotRetranslate("its reply is gone, as mitmproxy's replay replaced it: revert it")
    target = recorded_target(recorded, record)
    try:
        body = decode_request(recorded_content(client.request))
    except ValueError as error:
        raise CannotRetranslate(f"its request is incomplete: {error}") from None
    context = ExchangeContext(
        provider=target.target.provider,
        model=target.model,
        response_id=identity.response_id,
        created_at=identity.created_at,
        store_response=ignore_response if identity.is_stored else None,
        default_instructions=current_settings().instructions,
        clock=lambda: identity.completed_at,
        from_codex=is_codex(client),
    )
    body = await _with_restored_reasoning(client, await _with_stored_items(client, body))
    candidate = await build_candidate(target, body, await _stored_history(client, body))
    plan = FallbackPlan(Route(client.metadata[ROUTE_KEY]), context, (candidate,))
    exchange = plan.build_exchange()
    if record["learned"] and record["learned"] != plan.describe_lessons(exchange):
        title = exchange.provider.title
        raise CannotRetranslate(f"{title}'s refusals had taught the relay: {record['learned']}")
    return exchange


def recorded_target(recorded: RecordedExchange, record: Json) -> ModelTarget:
    """The provider and the model of the exchange, with today's settings.

    Raises CannotRetranslate.
    """
    name, model = record["provider"], record["model"]
    if name not in available_providers():
        raise CannotRetranslate(f"there is no provider {name!r} today")
    provider = configured_provider(available_providers()[name]).for_model(model)
    provider = provider.at_host(record["host"]) if record["host"] else provider
    # The window may be from the provider's own list of models.
    provider = provider.model_copy(update={"context_window": record["context_window"]})
    base_url = recorded.upstream_flow.request.url
    for path in DIALECT_PATHS.values():
        base_url = base_url.removesuffix(path)
    variant = ModelVariant(**record["variant"]) if record.get("variant") else None
    target = Target(provider, base_url, None)
    return ModelTarget(target, model, variant, recorded_advice=record["advice"])


async def _with_restored_reasoning(client: HTTPFlow, body: Json) -> Json:
    """The body with the reasoning that the relay had restored. Raises CannotRetranslate."""
    recorded_count = client.metadata.get(RESTORED_COUNT)
    if not recorded_count:
        return body
    keys = read_conversation_keys(body, client_name(client))
    restored_body = await restore_reasoning(body, keys)
    if count_restored(body, restored_body) != recorded_count:
        raise CannotRetranslate("the relay had restored reasoning that it no longer remembers")
    return restored_body


async def _with_stored_items(client: HTTPFlow, body: Json) -> Json:
    """The body with the items that it refers to. Raises CannotRetranslate."""
    try:
        return await resolve_references(body, client_name(client))
    except (BadRequest, StorageUnavailable) as error:
        raise CannotRetranslate(f"it refers to stored items: {error}") from None


async def _stored_history(client: HTTPFlow, body: Json) -> list[Json] | None:
    """The items before a request that continues a stored response. Raises CannotRetranslate."""
    if not (previous_id := body.get("previous_response_id")):
        return None
    try:
        history = await load_history(previous_id, client_name(client))
    except (BadRequest, StorageUnavailable) as error:
        raise CannotRetranslate(f"it continues a stored response: {error}") from None
    if history is None:
        raise CannotRetranslate("it continues a stored response, and today none are stored")
    return history


def ignore_response(response: StoredResponse) -> None:
    """Store nothing: the relay stored the response when it came."""


# Differences


def _request_differences(recorded: RecordedExchange, exchange: Exchange) -> list[str]:
    """The diff of the request to the upstream. Raises CannotRetranslate."""
    old, new = recorded_content(recorded.upstream_flow.request), exchange.body
    if old == new:
        return []
    return unified_json_diff("sent", comparable_values(old), comparable_values(new))


def _reply_differences(
    recorded: RecordedExchange, client_reply: ClientReply, exchange: Exchange
) -> list[str]:
    """The diff of the reply to the client. Raises CannotRetranslate."""
    if recorded.client_flow.response is None or recorded.client_flow.live:
        return []
    new = comparable_values(_client_bytes(recorded, client_reply, exchange))
    if recorded.client_flow.error and not client_reply.has_closing_event:  # the client had left
        new = new[: len(client_reply.compared_values)]
    return unified_json_diff("replied", client_reply.compared_values, new)


def _client_bytes(
    recorded: RecordedExchange, client_reply: ClientReply, exchange: Exchange
) -> bytes:
    """The body that the client would get today for the upstream's recorded reply.

    Raises CannotRetranslate.
    """
    reply, error = recorded.upstream_flow.response, recorded.client_flow.error
    if reply is None or (error and not (exchange.streaming and reply.status_code == 200)):
        unreachable = exchange.unreachable_reply(error.msg if error else "it ended")
        return unreachable.stream_events if client_reply.is_stream else unreachable.body
    content = recorded_content(reply)
    if exchange.streaming and reply.status_code == 200:
        start = exchange.feed(content)
        return start + (exchange.interrupt(error.msg) if error else exchange.feed(b""))
    decoded_reply = reply.copy()
    decoded_reply.headers.pop("content-encoding", None)
    decoded_reply.raw_content = content
    new_reply = whole_reply(exchange, decoded_reply)
    return new_reply.stream_events if client_reply.is_stream else new_reply.body


def unified_json_diff(title: str, old: list[Any], new: list[Any]) -> list[str]:
    """The lines of a unified diff of JSON values; empty if they are the same."""
    pairs = zip(map(indented_json, old), map(indented_json, new), strict=False)
    start = next((at for at, pair in enumerate(pairs) if pair[0] != pair[1]), None)
    if start is None:
        if len(old) == len(new):
            return []
        start = min(len(old), len(new))
    old_lines, new_lines = (
        _json_lines(values[start : start + EVENTS_COMPARED]) for values in (old, new)
    )
    old_lines, new_lines, line_start = _lines_to_compare(old_lines, new_lines)
    suffix = f" from event {start}" if start else ""
    suffix += f" from line {line_start + 1}" if line_start else ""
    titles = f"{title} then{suffix}", f"{title} today{suffix}"
    diff = list(unified_diff(old_lines, new_lines, *titles, lineterm=""))
    omitted = len(diff) - MAX_DIFF_LINES
    return [*diff[:MAX_DIFF_LINES], *([f"… {omitted} more lines"] if omitted > 0 else [])]


def _lines_to_compare(old: list[str], new: list[str]) -> tuple[list[str], list[str], int]:
    """As many lines as a diff can take, and the index of the first of them."""
    if max(len(old), len(new)) <= MAX_COMPARED_LINES:
        return old, new, 0
    pairs = zip(old, new, strict=False)
    shortest = min(len(old), len(new))
    difference = next((at for at, pair in enumerate(pairs) if pair[0] != pair[1]), shortest)
    start = max(0, difference - CONTEXT_LINES)
    end = start + MAX_COMPARED_LINES
    return old[start:end], new[start:end], start


def recorded_content(message: Message | None) -> bytes:
    """The message's body without its content-encoding; b"" if there is none.

    Raises CannotRetranslate: a small capture may hold a body of gigabytes.
    """
    if message is None:
        return b""
    encoding = message.headers.get("content-encoding", "")
    try:
        return decompress_bounded(message.raw_content or b"", encoding, MAX_CONTENT_BYTES)
    except ValueError as error:
        raise CannotRetranslate(f"its body cannot be decompressed: {error}") from None


def printable_lines(lines: Iterable[str]) -> list[str]:
    """The lines as a terminal may show them."""
    limit = current_settings().max_log_line
    return [printable(line, limit) for line in lines]


def _json_lines(values: list[Any]) -> list[str]:
    return [row for value in values for row in indented_json(value).splitlines()]


def indented_json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
