"""Reasoning of earlier turns for Chat clients that keep plain messages only.

A reply's reasoning is remembered under keys that its message has again in later requests, and is
put back there as the `reasoning_details` that the client was given. A key is a hash, of the owner
and of either
- the first call, where its id is one of its own: found also where the history was cut or changed
  before it, or where the client told parallel calls apart;
- the conversation up to the message: what user, assistant and tools said, without ids, which
  some clients rewrite, and without instructions, which some change from turn to turn.
Where in doubt there is no key: a turn without its reasoning is no mistake, one with another's is.
"""

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from translate.mappings.reasoning import DETAILS, detail
from translate.reply.responses_to_chat import BREAK, CALLS
from translate.wire import chat, codec
from translate.wire.chat import CALL, CALLED
from translate.wire.envelope import unseal
from translate.wire.errors import BadRequest
from translate.wire.requests import PART, check

Json = dict[str, Any]
Keys = tuple[str, ...]  # the best one first

ROLES = {"user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}
# Some servers count their calls: `call_1` is in every conversation.
OWN = re.compile(r"[A-Za-z0-9]{20,}|[0-9a-f]{8}-[0-9a-f]{4}-")
NAME = 8  # characters of a name that would look like chance, as in `functions.getWeatherOfCity:0`


def forgotten(body: Json, owner: str) -> dict[int, Keys]:
    """Keys of the assistant's messages that come without their reasoning, by position.

    `owner`: whose conversation it is; what one is told is never found by another.
    """
    return {n: keys for n, keys in _keys(body, owner) if not body["messages"][n].get(DETAILS)}


def remember(body: Json, output: list[Json], owner: str) -> dict[str, bytes]:
    """What to keep after a reply to this body, by key; `output`: its items, sealed."""
    message = reply(output)
    said = message["content"] or message["refusal"] or message["tool_calls"]
    if not (said and message[DETAILS] and isinstance(body.get("messages"), list)):
        return {}
    *_, (_, keys) = [(0, ()), *_keys({**body, "messages": [*body["messages"], message]}, owner)]
    return dict.fromkeys(keys, codec.dumps(message[DETAILS]))


def restored(body: Json, wanted: Mapping[int, Keys], found: Mapping[str, bytes]) -> Json:
    """The body with what was found for each message; the same reasoning is never there twice,
    which is refused ("Duplicate item")."""
    messages = [*body["messages"]]
    seen = {one for message in messages for one in _named(message.get(DETAILS))}
    for position, keys in wanted.items():
        values = (found[key] for key in keys if key in found)
        details = [d for d in codec.loads(next(values, b"[]")) if seen.isdisjoint(_named([d]))]
        seen |= {*_named(details)}
        if details:
            messages[position] = {**messages[position], DETAILS: details}
    return {**body, "messages": messages}


def reply(output: list[Json]) -> Json:
    """The message of a reply as its client has it, as far as keys go, with its reasoning."""
    thoughts = [item for item in output if item["type"] == "reasoning"]
    parts = [p for item in output if item["type"] == "message" for p in item["content"]]
    return {
        "role": "assistant",
        "content": BREAK.join(p["text"] for p in parts if p.get("text")),
        "refusal": "".join(p["refusal"] for p in parts if p.get("refusal")),
        "tool_calls": [_made(item) for item in output if item["type"] in CALLS],
        DETAILS: [detail(one, n) for n, one in enumerate(thoughts) if _ours(one)],
    }


def _ours(thought: Json) -> bool:
    return unseal(thought.get("encrypted_content")) is not None


def _made(item: Json) -> Json:
    kind, field = CALLS[item["type"]]
    inner = {"name": item.get("name") or "", field: item.get(field) or ""}
    return {"id": item.get("call_id") or "", "type": kind, kind: inner}


def _named(details: Any) -> Iterator[tuple[str, str]]:
    """Which reasoning it is; by its text alone short thoughts of two turns would be the same."""
    for one in details if isinstance(details, list) else ():
        if isinstance(one, dict) and isinstance(one.get("data"), str):
            yield str(one.get("id")), one["data"]


class Called(NamedTuple):
    """A call in the form that all clients agree on."""

    name: str
    arguments: str
    id: str


def _keys(body: Json, owner: str) -> list[tuple[int, Keys]]:
    try:
        return [*_walk(chat.read(body).messages, owner)]
    except (BadRequest, RecursionError):  # is refused anyway, by who can say why
        return []


def _walk(messages: list[Json], owner: str) -> Iterator[tuple[int, Keys]]:
    so_far = _hash("conversation", owner)
    for position, message in enumerate(messages):
        if not (role := ROLES.get(message.get("role") or "")):
            continue
        calls = _calls(message) if role == "assistant" else []
        shown = [part for call in calls for part in call[:2]]
        so_far = _hash(so_far, role, *_said(message), "calls", *shown)
        if role == "assistant":
            own = [_hash("call", owner, *call) for call in calls[:1] if _own(call)]
            yield position, (*own, so_far)


def _hash(*parts: str) -> str:
    return blake2b(codec.dumps(parts), digest_size=20).hexdigest()


def _own(call: Called) -> bool:
    """Whether its id was given to no other call, wherever."""
    named = len(call.name) >= NAME
    return bool(OWN.search(call.id.replace(call.name, "") if named else call.id))


def _said(message: Json) -> list[str]:
    """What a message says: its text, and each other part of it."""
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    texts, others = [], []
    for part in content:
        check(part, PART, "part")
        text = part.get("text", part.get("refusal"))
        if isinstance(text, str):
            texts.append(text)
        else:  # what stands beside it, as `cache_control`, comes and goes
            others.append(_normal(codec.text(part.get(part.get("type") or ""))))
    return ["\n".join(texts).replace("\r\n", "\n").strip(), *others]


def _calls(message: Json) -> list[Called]:
    calls = [_called(call) for call in message.get("tool_calls") or []]
    legacy = message.get("function_call")
    return [*calls, *([_called({"function": legacy})] if legacy else [])]


def _called(call: Json) -> Called:
    check(call, CALL, "call")
    inner = call.get("function") or call.get("custom") or {}
    check(inner, CALLED, "call")
    said = inner.get("arguments") or inner.get("input") or ""
    said = said if isinstance(said, str) else codec.text(said)
    return Called(inner.get("name") or "", _normal(said), call.get("id") or "")


def _normal(text: str) -> str:
    """JSON however it was written; JavaScript writes 1.0 as 1. Any other text as it is."""
    try:
        value = json.loads(text, parse_float=_number)
    except ValueError:
        return text.strip() or "{}"
    return json.dumps(value, sort_keys=True)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
