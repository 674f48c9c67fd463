"""Scripted replies of a Chat Completions provider: their contents, and the style in which one
family of providers writes them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any


@dataclass(frozen=True)
class Say:
    text: str


@dataclass(frozen=True)
class Think:
    text: str


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True)
class Custom:
    """A call of a custom tool; only /responses servers have those."""

    name: str
    input: str
    id: str | None = None


@dataclass(frozen=True)
class Picture:
    """A generated picture, in base64; only /responses servers have those."""

    data: str


@dataclass(frozen=True)
class Fail:
    """An error as the last event of the stream."""

    error: dict[str, Any]
    event: str = "response.failed"  # or `error`


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Hold:
    """The reply continues when the test sets `go_on`, after 30 s at the latest."""

    go_on: Event = field(default_factory=Event)


@dataclass(frozen=True)
class Raw:
    """Raw bytes between the chunks."""

    data: bytes


@dataclass(frozen=True)
class Finish:
    """A finish reason other than `stop` or `tool_calls`."""

    reason: str


@dataclass(frozen=True)
class Die:
    """The connection closes here: with RST if `reset`, else as if the server had ended."""

    reset: bool


@dataclass(frozen=True)
class Error:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Part = Say | Think | Call | Custom | Picture | Pause | Hold | Raw | Finish | Fail | Die | Error
CUT, RST = Die(reset=False), Die(reset=True)


def say(text: str) -> Say:
    return Say(text)


def think(text: str) -> Think:
    return Think(text)


def call(name: str, /, id: str | None = None, **arguments: Any) -> Call:
    return Call(name, json.dumps(arguments), id)


def custom(name: str, input: str, id: str | None = None) -> Custom:
    return Custom(name, input, id)


def picture(data: str) -> Picture:
    return Picture(data)


def fail(code: str, message: str = "scripted failure") -> Fail:
    return Fail({"code": code, "message": message})


def pause(seconds: float) -> Pause:
    return Pause(seconds)


def error(
    status: int,
    message: str = "scripted error",
    *,
    code: str | None = None,
    type: str = "error",
    retry_after: float | None = None,
    body: bytes | None = None,
) -> Error:
    form = {"error": {"message": message, "type": type, "param": None, "code": code}}
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return Error(status, json.dumps(form).encode() if body is None else body, headers)


@dataclass(frozen=True)
class Style:
    """How one family of providers writes the same reply."""

    reasoning: str = "reasoning_content"  # or reasoning, reasoning_details, <think>
    whole_calls: bool = False  # a call in one chunk, not its arguments in pieces
    interleave: bool = False  # pieces of parallel calls take turns
    index: bool = True
    ids: str = "unique"  # or "repeated" in each reply, or "none"
    object_arguments: bool = False
    stop_with_calls: bool = False  # finish_reason "stop" even with calls
    role_everywhere: bool = False
    list_content: bool = False  # Mistral: content is a list of parts
    usage: str = "own"  # in a chunk of its own, in the "last" one, in its "choice", or "none"
    done: bool = True
    newline: str = "\n"
    comments: bool = False
    piece: int = 7  # characters a chunk


OPENAI = Style(reasoning="none")
DEEPSEEK = Style(comments=True)
OLLAMA = Style(reasoning="reasoning", whole_calls=True, usage="last", role_everywhere=True)
GEMINI = Style(whole_calls=True, index=False, stop_with_calls=True, usage="last", newline="\r\n")
OPENROUTER = Style(reasoning="reasoning_details", comments=True)
MINIMAX = Style(reasoning="<think>", done=False)
KIMI = Style(interleave=True, usage="choice")
MISTRAL = Style(reasoning="thinking", list_content=True, whole_calls=True, usage="last")
SLOPPY = Style(ids="none", object_arguments=True, whole_calls=True, done=False)
SILENT = Style(usage="none")
STYLES = {
    "openai": OPENAI,
    "deepseek": DEEPSEEK,
    "ollama": OLLAMA,
    "gemini": GEMINI,
    "openrouter": OPENROUTER,
    "minimax": MINIMAX,
    "kimi": KIMI,
    "mistral": MISTRAL,
    "sloppy": SLOPPY,
}
USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 10},
}


@dataclass(frozen=True)
class Reply:
    parts: tuple[Part, ...]
    style: Style
    number: int = 0  # of the reply, for its ids


def stream(model: str, reply: Reply, wants_usage: bool) -> Iterator[bytes | Pause | Hold | Die]:
    """The bytes of a reply in its style."""
    style = reply.style
    if style.comments:
        yield _end_line(": keep-alive", style)
    for part in [{"role": "assistant", "content": ""}, *_deltas_and_parts(reply)]:
        if isinstance(part, dict):
            role = {"role": "assistant"} if style.role_everywhere else {}
            yield _chunk(model, style, {"delta": role | part, "finish_reason": None})
        elif isinstance(part, Raw):
            yield part.data
        elif isinstance(part, Pause | Hold | Die):
            yield part
        if isinstance(part, Die):
            return
    yield from _last_chunks(model, reply, {"usage": USAGE} if wants_usage else {})


def _last_chunks(model: str, reply: Reply, usage: dict[str, Any]) -> Iterator[bytes]:
    style = reply.style
    finish: dict[str, Any] = {"delta": {}, "finish_reason": _finish_reason(reply)}
    match style.usage:
        case "choice":
            yield _chunk(model, style, finish | usage)
        case "last":
            yield _chunk(model, style, finish, **usage)
        case "none":
            yield _chunk(model, style, finish)
        case _:
            yield _chunk(model, style, finish)
            if usage:
                yield _chunk(model, style, None, **usage)
    if style.done:
        yield _end_line("data: [DONE]", style)


def _chunk(model: str, style: Style, choice: dict[str, Any] | None, **fields: Any) -> bytes:
    head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1700000000}
    choices = [{"index": 0, **choice}] if choice else []
    body = {**head, "model": model, "choices": choices, **fields}
    return _end_line(f"data: {json.dumps(body, ensure_ascii=False)}", style)


def _end_line(text: str, style: Style) -> bytes:
    return f"{text}{style.newline}{style.newline}".encode()


def completion(model: str, reply: Reply) -> dict[str, Any]:
    """The same reply in one body."""
    style = reply.style
    message: dict[str, Any] = {"role": "assistant", "content": None}
    thoughts = "".join(part.text for part in reply.parts if isinstance(part, Think))
    text = "".join(part.text for part in reply.parts if isinstance(part, Say))
    if thoughts and style.reasoning == "<think>":
        text = f"<think>{thoughts}</think>{text}"
    elif thoughts:
        message |= _thinking_delta(thoughts, style)
    if text:
        message["content"] = text
    if calls := [part for part in reply.parts if isinstance(part, Call)]:
        message["tool_calls"] = [_whole_call(n, call, reply) for n, call in enumerate(calls)]
    choice = {"index": 0, "message": message, "finish_reason": _finish_reason(reply)}
    head = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1700000000}
    return {**head, "model": model, "choices": [choice], "usage": USAGE}


def _deltas_and_parts(reply: Reply) -> Iterator[dict[str, Any] | Part]:
    """Deltas, and parts that are no deltas, in the order of the wire."""
    waiting: list[list[dict[str, Any]]] = []  # deltas of the calls that are interleaved
    calls = 0
    for part in _tag_thinking(reply):
        match part:
            case Think(text):
                yield from (
                    _thinking_delta(piece, reply.style) for piece in _split_text(text, reply.style)
                )
            case Say(text):
                yield from (
                    _text_delta(piece, reply.style) for piece in _split_text(text, reply.style)
                )
            case Call():
                waiting.append(_call_deltas(calls, part, reply))
                calls += 1
                if not reply.style.interleave:
                    yield from _interleave_deltas(waiting)
            case _:
                yield from _interleave_deltas(waiting)
                yield part
    yield from _interleave_deltas(waiting)


def _tag_thinking(reply: Reply) -> Iterator[Part]:
    """The parts, with thinking between tags if the style has tags."""
    thinking = False
    for part in reply.parts:
        if reply.style.reasoning == "<think>" and thinking != isinstance(part, Think):
            thinking = not thinking
            yield Say("<think>" if thinking else "</think>")
        yield part


def _text_delta(text: str, style: Style) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}] if style.list_content else text}


def _interleave_deltas(waiting: list[list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    while waiting:
        yield from [deltas.pop(0) for deltas in waiting]
        waiting[:] = [deltas for deltas in waiting if deltas]


def _split_text(text: str, style: Style) -> list[str]:
    return [text[i : i + style.piece] for i in range(0, len(text), style.piece)]


def _thinking_delta(text: str, style: Style) -> dict[str, Any]:
    match style.reasoning:
        case "none":
            return {}
        case "<think>":
            return {"content": text}
        case "reasoning_details":
            detail = {"type": "reasoning.text", "text": text, "index": 0, "format": "unknown"}
            return {"reasoning": text, "reasoning_details": [detail]}
        case "thinking":
            return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}
        case name:
            return {name: text}


def _whole_call(n: int, call: Call, reply: Reply) -> dict[str, Any]:
    ids = {"unique": f"call_{reply.number:02d}_{n}", "repeated": f"call_{n}", "none": None}
    arguments = json.loads(call.arguments) if reply.style.object_arguments else call.arguments
    function = {"name": call.name, "arguments": arguments}
    whole: dict[str, Any] = {"type": "function", "function": function}
    id = call.id or ids[reply.style.ids]
    return whole if id is None else {"id": id, **whole}


def _call_deltas(n: int, call: Call, reply: Reply) -> list[dict[str, Any]]:
    style = reply.style
    index = {"index": n} if style.index else {}
    whole = _whole_call(n, call, reply)
    if style.whole_calls:
        return [_calls_delta({**index, **whole})]
    head = {**index, **whole, "function": {"name": call.name, "arguments": ""}}
    pieces = _split_text(call.arguments, style)
    return [
        _calls_delta(head),
        *(_calls_delta({**index, "function": {"arguments": p}}) for p in pieces),
    ]


def _calls_delta(fragment: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [fragment]}


def _finish_reason(reply: Reply) -> str:
    for part in reply.parts:
        if isinstance(part, Finish):
            return part.reason
    calls = any(isinstance(part, Call) for part in reply.parts)
    return "tool_calls" if calls and not reply.style.stop_with_calls else "stop"
