"""What the replies show beside what they were asked for: the stream's form, usage, thinking."""

from collections.abc import Callable, Iterator

from .chat_reply import THINK_START, THINKING_PARTS, ChatReply, stream_comments
from .findings import Finding, Measurements
from .judges import Judgement, quote_text
from .profile_fields import LEAK_MARKS, stated_window

type Observation = Callable[[Measurements], Judgement | None]  # None: nothing can be said

NAMES = {THINK_START: "between <think> tags in the text", THINKING_PARTS: "parts of the content"}


def on_text(judge: Callable[[ChatReply], Judgement | None]) -> Observation:
    """An observation of the streamed reply to a plain request."""

    def observe(measured: Measurements) -> Judgement | None:
        reply = measured.text_reply
        return judge(reply) if reply and reply.chunks else None

    return observe


def observe_stream(measured: Measurements) -> Judgement | None:
    reply = measured.text_reply
    if reply is None:
        return None
    if not reply.chunks:
        return "ignored", "one whole body, although a stream was asked for"
    seconds = reply.recorded.first_byte_after
    return "seen", f"{len(reply.chunks)} events, the first after {seconds:.2f} s"


def observe_done(reply: ChatReply) -> Judgement:
    if b"[DONE]" in reply.recorded.body[-64:]:
        return "seen", "data: [DONE]"
    return "not seen", f"the stream ends with {quote_text(last_line(reply))}"


def observe_comments(reply: ChatReply) -> Judgement:
    count = stream_comments(reply.recorded.body)
    return (
        ("seen", f"{count} in the stream") if count else ("not seen", "no comments in the stream")
    )


def observe_newlines(reply: ChatReply) -> Judgement:
    is_crlf = b"\r\n" in reply.recorded.body
    return "seen", "lines end with CRLF" if is_crlf else "lines end with LF"


def observe_roles(reply: ChatReply) -> Judgement:
    count = sum("role" in delta for delta in stream_deltas(reply))
    return "seen", f"in {count} of {len(reply.chunks)} chunks"


def observe_finish(reply: ChatReply) -> Judgement:
    return ("seen", reply.finish) if reply.finish else ("not seen", "no finish_reason")


def observe_unasked_usage(reply: ChatReply) -> Judgement:
    if reply.usage:
        return "seen", usage_place(reply)
    return "not seen", "no usage without stream_options"


def observe_usage(measured: Measurements) -> Judgement | None:
    reply = measured.replies.get("stream_options")
    if reply is None or not reply.is_accepted:
        return None
    return ("seen", usage_place(reply)) if reply.usage else ("ignored", "no usage in the stream")


def observe_usage_details(measured: Measurements) -> Judgement | None:
    usages = [reply.usage for reply in measured.replies.values() if reply.usage]
    names = sorted({name for usage in usages for name in detail_names(usage)})
    return ("seen", ", ".join(names)) if names else None


def observe_reasoning(measured: Measurements) -> Judgement | None:
    if not any(reply.is_accepted for reply in measured.replies.values()):
        return None
    names = [NAMES.get(name, name) for name in measured.reasoning]
    return ("seen", ", ".join(names)) if names else ("not seen", "no reply shows thinking")


def observe_arguments(measured: Measurements) -> Judgement | None:
    reply = measured.replies.get("tool call")
    if reply is None or not reply.calls or not reply.chunks:
        return None
    pieces = max(call.pieces for call in reply.calls)
    return "seen", f"in {pieces} pieces" if pieces > 1 else "whole, in one chunk"


def observe_call_end(measured: Measurements) -> Judgement | None:
    reply = measured.replies.get("tool call")
    return ("seen", reply.finish or "none") if reply and reply.calls else None


def observe_call_ids(measured: Measurements) -> Judgement | None:
    """Ids of the calls in all replies: a conversation needs each of them once."""
    ids = [call.id for reply in measured.replies.values() for call in reply.calls]
    if not ids:
        return None
    if not all(ids):
        return "not seen", "calls come without ids"
    return "seen", f"{'unique' if len(set(ids)) == len(ids) else 'repeated'}: {quote_text(ids[0])}"


def observe_leaked_call(measured: Measurements) -> Judgement | None:
    reply = measured.replies.get("tool call")
    if reply is None or reply.calls or not any(mark in reply.text for mark in LEAK_MARKS):
        return None
    return "seen", f"the call stands in the text: {quote_text(reply.text)}"


def observe_window(measured: Measurements) -> Judgement | None:
    if tokens := measured.context_window:
        return "seen", f"{tokens:,} tokens, by the model list"
    if tokens := stated_window(measured):
        return "seen", f"{tokens:,} tokens, by what it said of a longer request"
    return None


# Row of the grid → its group, and what observes it.
OBSERVATIONS: dict[str, tuple[str, Observation]] = {
    "events": ("streaming", observe_stream),
    "[DONE]": ("streaming", on_text(observe_done)),
    "keep-alives": ("streaming", on_text(observe_comments)),
    "line ends": ("streaming", on_text(observe_newlines)),
    "role in the deltas": ("streaming", on_text(observe_roles)),
    "finish_reason": ("streaming", on_text(observe_finish)),
    "usage, not requested": ("streaming", on_text(observe_unasked_usage)),
    "usage, requested": ("streaming", observe_usage),
    "usage details": ("basics", observe_usage_details),
    "thinking": ("reasoning", observe_reasoning),
    "arguments of calls": ("tools", observe_arguments),
    "finish_reason of calls": ("tools", observe_call_end),
    "call ids": ("tools", observe_call_ids),
    "calls in the text": ("tools", observe_leaked_call),
    "context window": ("context window", observe_window),
}


def observe_replies(measured: Measurements) -> Iterator[Finding]:
    for name, (group, observe) in OBSERVATIONS.items():
        if judgement := observe(measured):
            yield Finding(name, group, *judgement)


def usage_place(reply: ChatReply) -> str:
    """Where a stream has its usage."""
    for chunk in reply.chunks:
        choices = chunk.get("choices") or []
        if any(choice.get("usage") for choice in choices):
            return "inside the last choice"
        if chunk.get("usage"):
            return "in the last chunk" if choices else "in a chunk of its own"
    return "in the body"


def detail_names(usage: dict[str, object]) -> Iterator[str]:
    """The counts of usage beyond the usual three, with their paths."""
    for name, value in usage.items():
        if isinstance(value, dict):
            yield from (f"{name}.{inner}" for inner in value if value[inner] is not None)
        elif name not in ("prompt_tokens", "completion_tokens", "total_tokens"):
            yield name


def stream_deltas(reply: ChatReply) -> list[dict[str, object]]:
    choices = (choice for chunk in reply.chunks for choice in chunk.get("choices") or [])
    return [choice.get("delta") or {} for choice in choices]


def last_line(reply: ChatReply) -> str:
    lines = reply.recorded.body.decode("utf-8", "replace").split()
    return lines[-1] if lines else ""
