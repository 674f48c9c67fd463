"""Reasoning of earlier turns for Chat clients that store plain messages only.

The relay remembers a reply's reasoning under keys, and computes the same keys from later requests
that contain the reply's message. There it restores the reasoning as the `reasoning_details` that
the client once got. A key is a hash, of the owner and of either
- the first call, if its id is unique: this key also works where the client has cut or changed the
  history before the message, or has split parallel calls;
- the conversation up to the message: the texts, calls and outputs, without ids, which some clients
  rewrite, and without instructions, which some change from turn to turn.
When in doubt there is no key: a turn without its reasoning does no harm, but a turn with another
turn's reasoning does.
"""

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from translate.mappings.reasoning import REASONING_DETAILS, sealed_detail
from translate.reply.responses_to_chat import CALL_FIELDS, SEPARATOR
from translate.wire import codec
from translate.wire.envelope import open_envelope
from translate.wire.errors import BadRequest
from translate.wire.json_steps import dump_json_in_steps
from translate.wire.requests import (
    CHAT_CALL_BODY_FIELDS,
    CHAT_CALL_FIELDS,
    PART_FIELDS,
    check_fields,
    validate_chat_request,
)

Json = dict[str, Any]
Keys = tuple[str, ...]  # the best one first

ROLES = {"user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}
# Some servers count their calls: `call_1` is in every conversation.
UNIQUE_ID = re.compile(r"[A-Za-z0-9]{20,}|[0-9a-f]{8}-[0-9a-f]{4}-")
# A name of this length in an id would look random, as in `functions.getWeatherOfCity:0`.
LONG_NAME = 8


class ConversationKeys(NamedTuple):
    """The keys of a Chat client's request."""

    owner: str  # whose conversation it is; no key of one owner equals a key of another
    missing: dict[int, Keys]  # of assistant messages without their reasoning, by position
    latest_key: str | None  # the key of the conversation so far; None for an invalid request


def read_conversation_keys(body: Json, owner: str) -> ConversationKeys:
    """Call it once for a request: it reads the whole conversation."""
    try:
        messages = validate_chat_request(body).messages
        turns = [*_read_messages(messages, owner, _hash_texts("conversation", owner))]
    except (BadRequest, RecursionError):  # the exchange refuses the request, and says why
        return ConversationKeys(owner, {}, None)
    missing = {
        position: turn.keys
        for position, (message, turn) in enumerate(zip(messages, turns, strict=True))
        if turn.keys and not message.get(REASONING_DETAILS)
    }
    latest_key = turns[-1].conversation_key if turns else _hash_texts("conversation", owner)
    return ConversationKeys(owner, missing, latest_key)


def reasoning_to_remember(keys: ConversationKeys, output: list[Json]) -> dict[str, bytes]:
    """What to remember of the reply to this request, by key. `output`: the reply's sealed items."""
    message = reply_message(output)
    has_answer = message["content"] or message["refusal"] or message["tool_calls"]
    if not (has_answer and message[REASONING_DETAILS] and keys.latest_key is not None):
        return {}
    [turn] = _read_messages([message], keys.owner, keys.latest_key)
    return dict.fromkeys(turn.keys, codec.dump_json(message[REASONING_DETAILS]))


def insert_reasoning(
    body: Json, missing_keys: Mapping[int, Keys], details_by_key: Mapping[str, bytes]
) -> Json:
    """The body with its missing reasoning, as far as that is remembered.

    No detail comes twice, which OpenAI would refuse ("Duplicate item").
    """
    messages = [*body["messages"]]
    used_ids = {id_ for message in messages for id_ in _detail_ids(message.get(REASONING_DETAILS))}
    for position, keys in missing_keys.items():
        values = (details_by_key[key] for key in keys if key in details_by_key)
        details = [
            detail
            for detail in codec.load_json(next(values, b"[]"))
            if used_ids.isdisjoint(_detail_ids([detail]))
        ]
        used_ids |= {*_detail_ids(details)}
        if details:
            messages[position] = {**messages[position], REASONING_DETAILS: details}
    return {**body, "messages": messages}


def reply_message(output: list[Json]) -> Json:
    """The message of a reply as its client has it, as far as keys depend on it."""
    thoughts = [item for item in output if item["type"] == "reasoning"]
    parts = [p for item in output if item["type"] == "message" for p in item["content"]]
    return {
        "role": "assistant",
        "content": SEPARATOR.join(p["text"] for p in parts if p.get("text")),
        "refusal": "".join(p["refusal"] for p in parts if p.get("refusal")),
        "tool_calls": [_chat_call(item) for item in output if item["type"] in CALL_FIELDS],
        REASONING_DETAILS: [
            sealed_detail(item, n) for n, item in enumerate(thoughts) if _is_sealed_by_us(item)
        ],
    }


def _is_sealed_by_us(item: Json) -> bool:
    return open_envelope(item.get("encrypted_content")) is not None


def _chat_call(item: Json) -> Json:
    call_type, field = CALL_FIELDS[item["type"]]
    function = {"name": item.get("name") or "", field: item.get(field) or ""}
    return {"id": item.get("call_id") or "", "type": call_type, call_type: function}


def _detail_ids(details: Any) -> Iterator[tuple[str, str]]:
    """Id and data of each sealed detail. The data alone may be the same in two turns."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("data"), str):
            yield str(detail.get("id")), detail["data"]


class CallIdentity(NamedTuple):
    """The parts of a call that all clients preserve, in one spelling."""

    name: str
    arguments: str
    id: str


class MessageKeys(NamedTuple):
    """The keys of one message."""

    conversation_key: str  # of the conversation up to its end
    keys: Keys = ()  # of an assistant's message


def _read_messages(messages: list[Json], owner: str, conversation: str) -> Iterator[MessageKeys]:
    """The keys of each message; `conversation`: the key of all messages before them. Raises
    BadRequest."""
    for message in messages:
        if not (role := ROLES.get(message.get("role") or "")):
            yield MessageKeys(conversation)
            continue
        calls = _message_calls(message) if role == "assistant" else []
        call_texts = [text for call in calls for text in call[:2]]
        conversation = _hash_texts(
            conversation, role, *_message_contents(message), "calls", *call_texts
        )
        call_keys = [
            _hash_texts("call", owner, *call) for call in calls[:1] if _has_unique_id(call)
        ]
        yield MessageKeys(conversation, (*call_keys, conversation) if role == "assistant" else ())


def _hash_texts(*texts: str) -> str:
    return blake2b(dump_json_in_steps(texts), digest_size=20).hexdigest()


def _has_unique_id(call: CallIdentity) -> bool:
    """Whether no other call, in any conversation, has the same id."""
    random_part = call.id.replace(call.name, "") if len(call.name) >= LONG_NAME else call.id
    return bool(UNIQUE_ID.search(random_part))


def _message_contents(message: Json) -> list[str]:
    """The text of a message, then each of its other parts as text."""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    texts, other_parts = [], []
    for part in content:
        check_fields(part, PART_FIELDS, "part")
        text = part.get("text", part.get("refusal"))
        if isinstance(text, str):
            texts.append(text)
        else:  # the value alone: clients add and remove fields such as `cache_control`
            other_parts.append(_normalize_json(codec.json_text(part.get(part.get("type") or ""))))
    return ["\n".join(texts).replace("\r\n", "\n").strip(), *other_parts]


def _message_calls(message: Json) -> list[CallIdentity]:
    calls = [_call_identity(call) for call in message.get("tool_calls") or []]
    legacy = message.get("function_call")
    return [*calls, *([_call_identity({"function": legacy})] if legacy else [])]


def _call_identity(call: Json) -> CallIdentity:
    check_fields(call, CHAT_CALL_FIELDS, "call")
    function = call.get("function") or call.get("custom") or {}
    check_fields(function, CHAT_CALL_BODY_FIELDS, "call")
    arguments = function.get("arguments") or function.get("input") or ""
    text = arguments if isinstance(arguments, str) else codec.json_text(arguments)
    return CallIdentity(function.get("name") or "", _normalize_json(text), call.get("id") or "")


def _normalize_json(text: str) -> str:
    """JSON in one spelling (JavaScript writes 1.0 as 1); any other text, stripped."""
    try:
        value = json.loads(text, parse_float=_parse_float)
    except (ValueError, RecursionError):
        return text.strip() or "{}"
    return json.dumps(value, sort_keys=True)


def _parse_float(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
