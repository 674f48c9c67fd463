"""Reads a recorded reply of a Chat Completions endpoint, streamed or whole. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from translate import (
    ACCOUNT_LIMITS,
    BadRequest,
    SseReader,
    error_text,
    failure_rule,
    is_event_stream,
    load_json,
    reasoning_fields,
    split_events,
)

Json = dict[str, Any]

REFUSAL_STATUSES = frozenset({400, 404, 405, 406, 415, 422, 501})
EXCERPT = 160  # characters of evidence
DATA_URL = re.compile(r"(data:[\w/+.-]+;base64,)[\w+/=]{8,}")
THINK_START, THINK_END = "<think>", "</think>"
THINKING_PARTS = "parts"  # not a wire field: thinking between the parts of the content


@dataclass(frozen=True)
class RecordedReply:
    """What came back for one request."""

    status: int = 0  # 0: no whole reply came, for the reason in `fault`
    body: bytes = b""
    fault: str = ""
    next_step: str = ""  # what the user can do about the fault
    retry_after: float | None = None  # s
    first_byte_after: float = 0.0  # s


@dataclass(frozen=True)
class ChatCall:
    """A tool call in a reply."""

    id: str
    name: str
    arguments: str
    pieces: int = 1  # deltas that brought its arguments

    def to_message(self) -> Json:
        """The call as an assistant's message has it."""
        function = {"name": self.name, "arguments": self.arguments or "{}"}
        return {"id": self.id, "type": "function", "function": function}


@dataclass(frozen=True)
class ChatReply:
    """A reply in the terms of Chat Completions: accepted, refused with words, or a failure."""

    recorded: RecordedReply
    refusal: str = ""  # the endpoint does not take this request: its status and words
    failure: str = ""  # the request shows nothing: no reply, a rate limit, a broken server
    text: str = ""
    reasoning: Json = field(default_factory=dict)  # as the endpoint names its fields
    calls: tuple[ChatCall, ...] = ()
    finish: str = ""
    usage: Json = field(default_factory=dict)
    chunks: tuple[Json, ...] = field(default=(), repr=False)  # of a stream

    @property
    def is_accepted(self) -> bool:
        return not self.refusal and not self.failure

    @cached_property
    def words(self) -> str:
        """What the reply says, for evidence."""
        calls = ", ".join(f"{call.name}({call.arguments})" for call in self.calls)
        text = self.refusal or self.failure or calls or self.text
        if not text:
            text = "thinking only" if self.reasoning else "an empty reply"
        return shorten_line(text)

    @property
    def tokens(self) -> int:
        """The tokens that it cost, as far as the endpoint reports them."""
        total = self.usage.get("total_tokens")
        return total if isinstance(total, int) else 0

    def assistant_message(self, reasoning: Json) -> Json:
        """The message that goes back, with these reasoning fields."""
        content: Any = self.text or None
        if THINK_START in reasoning:
            content = f"{THINK_START}{reasoning[THINK_START]}{THINK_END}{self.text}"
            reasoning = {}
        elif THINKING_PARTS in reasoning:
            texts = [{"type": "text", "text": self.text}] if self.text else []
            content = [*reasoning[THINKING_PARTS], *texts]
            reasoning = {}
        calls = [call.to_message() for call in self.calls]
        message = {"role": "assistant", "content": content, **reasoning}
        return {**message, "tool_calls": calls} if calls else message


def shorten_line(text: str) -> str:
    line = DATA_URL.sub(r"\1…", " ".join(text.split()))
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def read_chat_reply(recorded: RecordedReply) -> ChatReply:
    """Never raises: what cannot be read is a failure."""
    status, body = recorded.status, recorded.body
    if not status:
        return ChatReply(recorded, failure=recorded.fault)
    if status != 200:
        words = f"{status}: {error_text(body)}"
        is_refused = status in REFUSAL_STATUSES and not is_about_account(status, body)
        return unserved_reply(recorded, words, is_refused)
    try:
        return read_completion(recorded)
    except (BadRequest, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        problem = f"200, but no reply of Chat Completions: {error_text(body)} ({error})"
        return ChatReply(recorded, failure=shorten_line(problem))


def unserved_reply(recorded: RecordedReply, words: str, is_refused: bool) -> ChatReply:
    if is_refused:
        return ChatReply(recorded, refusal=words)
    return ChatReply(recorded, failure=words)


def is_about_account(status: int, body: bytes) -> bool:
    """Whether an error is about limits of the account, and not about the request."""
    return failure_rule(status, body).code in ACCOUNT_CODES


ACCOUNT_CODES = ACCOUNT_LIMITS | {"insufficient_quota", "usage_not_included", "rate_limit_exceeded"}
# An error inside a reply with status 200 may be of any kind; these words blame the request.
BLAMES_REQUEST = re.compile(r"invalid|unsupported|not support|unknown|must |param", re.I)


def read_completion(recorded: RecordedReply) -> ChatReply:
    """Raises ValueError and the like for a body that is no completion."""
    if is_event_stream(recorded.body):
        chunks = tuple(stream_chunks(recorded.body))
        if error := next((chunk for chunk in chunks if is_error(chunk)), None):
            return error_inside(recorded, error)
        if not any("choices" in chunk for chunk in chunks):
            raise ValueError("the stream has no chunk")
        merged = MergedStream()
        for chunk in chunks:
            merged.add_chunk(chunk)
        return merged.to_reply(recorded, chunks)
    body = require_object(load_json(recorded.body))
    if is_error(body):
        return error_inside(recorded, body)
    merged = MergedStream()
    [choice, *_] = body["choices"]
    merged.add_chunk({**body, "choices": [{**choice, "delta": choice["message"]}]})
    return merged.to_reply(recorded, ())


def stream_chunks(body: bytes) -> Iterator[Json]:
    """The JSON objects of a stream. Raises ValueError for data that is none."""
    reader = SseReader()
    for data in (*reader.feed(body), *reader.flush()):
        if data.strip() and data.strip() != b"[DONE]":
            yield require_object(load_json(data))


def is_error(body: Json) -> bool:
    """Whether a body or a chunk with status 200 is an error. MiniMax has them in `base_resp`."""
    code = (body.get("base_resp") or {}).get("status_code")
    return bool(code) or bool(body.get("error")) or "choices" not in body and "code" in body


def error_inside(recorded: RecordedReply, error: Json) -> ChatReply:
    detail = error.get("base_resp") or error
    body = json.dumps(detail).encode()
    words = detail.get("status_msg") or error_text(body)
    is_refused = BLAMES_REQUEST.search(words) and not is_about_account(200, body)
    return unserved_reply(recorded, f"200 with an error: {words}", bool(is_refused))


class MergedStream:
    """Adds up the deltas of one reply."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.reasoning: Json = {}
        self.calls: dict[Any, Json] = {}
        self.finish = ""
        self.usage: Json = {}

    def add_chunk(self, chunk: Json) -> None:
        """Raises ValueError and the like for a chunk of another form."""
        self.usage |= chunk.get("usage") or {}
        choices = chunk.get("choices") or []
        for choice in choices:
            require_object(require_object(choice).get("delta") or {})
        for choice in choices[:1]:
            self.usage |= choice.get("usage") or {}
            self.finish = optional_text(choice, "finish_reason") or self.finish
            self.add_delta(choice.get("delta") or {})

    def add_delta(self, delta: Json) -> None:
        content = delta.get("content")
        for part in content if isinstance(content, list) else [content]:
            self.add_content(part)
        for name, value in reasoning_fields(delta).items():
            earlier = self.reasoning.get(name)
            self.reasoning[name] = value if earlier is None else earlier + value
        for position, fragment in enumerate(delta.get("tool_calls") or []):
            self.add_fragment(position, fragment)

    def add_content(self, part: Any) -> None:
        if isinstance(part, str):
            self.texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            self.texts.append(part["text"])
        elif isinstance(part, dict) and part.get("type") == "thinking":
            self.reasoning.setdefault(THINKING_PARTS, []).append(part)

    def add_fragment(self, position: int, fragment: Json) -> None:
        function = fragment.get("function") or {}
        index = fragment.get("index")
        if index is None:  # Gemini: each fragment is a whole call
            index = (len(self.calls) if fragment.get("id") or function.get("name") else -1, None)
        call = self.calls.setdefault(index, {"id": "", "name": "", "arguments": "", "pieces": 0})
        call["id"] = call["id"] or optional_text(fragment, "id")
        call["name"] = call["name"] or optional_text(function, "name")
        if arguments := function.get("arguments"):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            call["arguments"] += text
            call["pieces"] += 1

    def to_reply(self, recorded: RecordedReply, chunks: tuple[Json, ...]) -> ChatReply:
        text = "".join(self.texts)
        reasoning = dict(self.reasoning)
        head, end, rest = text.partition(THINK_END)
        if end and head.lstrip().startswith(THINK_START):
            reasoning[THINK_START] = head.lstrip().removeprefix(THINK_START)
            text = rest.lstrip()
        calls = tuple(ChatCall(**call) for call in self.calls.values())
        return ChatReply(
            recorded,
            text=text,
            reasoning=reasoning,
            calls=calls,
            finish=self.finish,
            usage=self.usage,
            chunks=chunks,
        )


def require_object(value: Any) -> Json:
    """Raises ValueError for anything but a JSON object."""
    if not isinstance(value, dict):
        raise ValueError(f"{shorten_line(str(value))} is no JSON object")
    return value


def optional_text(fields: Json, name: str) -> str:
    """The text of this field; "" if it is missing or null. Raises ValueError for another type."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value or ""


def stream_comments(body: bytes) -> int:
    """How many comments, such as keep-alives, a stream has."""
    return sum(event.data is None and event.raw_block[:1] == b":" for event in split_events(body))
