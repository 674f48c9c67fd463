"""Compaction: a trigger → a summary request; its reply → a compaction item; the item → text again.

Source: https://developers.openai.com/api/docs/guides/compaction. What Codex asks of it was
measured: a reply that completes, with exactly one `compaction` item.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from translate.mappings.outcome import COMPLETED, FAILED, Outcome, tokens
from translate.mappings.reasoning import thoughts
from translate.providers.profile import Provider
from translate.reply.event_writer import Event, Events, Machine
from translate.tools.kinds import BY_CALL, OUTPUTS
from translate.tools.tool_map import ToolMap
from translate.wire.envelope import Envelope, seal, unseal
from translate.wire.errors import BadRequest, Failure

Item = dict[str, Any]
Message = dict[str, Any]

TRIGGER = "compaction_trigger"
# `context_compaction` and `compaction_summary` were its names for some months of 2026.
COMPACTED = frozenset({"compaction", "context_compaction", "compaction_summary"})

HEAD = (
    "[A summary of the conversation so far, in place of the messages that are no longer shown. "
    "You wrote it, or a model before you did. Take it as what has happened and go on from there.]"
)
UNREADABLE = (
    "[Here stood a summary of the earlier conversation. Another service has sealed it, so that it "
    "cannot be read any more.]"
)
GAP = "[The {} oldest messages are not shown, as they would not fit.]"
PROMPT = """\
This conversation has grown too long to be carried on. Stop the work here and write the summary \
that will take its place: whoever continues, you or another model, will see your summary and none \
of the messages above. Call no tools and do not go on with the task. Answer with the summary \
alone, under these headings:

## Goal
What the user wants to reach in the end, and the request that is being worked on. Quote the \
wording where it matters.

## What the user asked for and ruled out
Every requirement, limit, preference, correction and standing instruction of the user's.

## Decisions
What was decided and why; what was tried and given up, so that nobody tries it again.

## Files
Each file that matters, by its full path: what is in it, and what was read, made or changed.

## State
What is done and how it was checked; what does not work yet, with its exact error; what is still \
running or half finished.

## Next steps
In their order. The first must be so exact that it can be taken at once.

## Open questions
What nobody knows yet, and what the user still has to answer.

Keep names, paths, commands, numbers, identifiers and error texts as they are. What an earlier \
summary says and still holds belongs in yours. Write "none" where there is nothing to say, and \
add nothing that did not happen."""

ROOM = 16_000  # tokens that the summary may take, at most a quarter of the window
TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
KEPT = ("user", "developer", "system")


def triggered(items: object) -> bool:
    """Whether an input asks for compaction: the trigger is its last item."""
    last = items[-1] if isinstance(items, list) and items else None
    return isinstance(last, dict) and last.get("type") == TRIGGER


def to_text(item: Item) -> str | None:
    """The words that stand for a compaction item; None for one that we did not seal.

    Whose provider's it is does not matter: a summary is plain text, which any model reads.
    """
    envelope = unseal(item.get("encrypted_content"))
    summary = envelope.state.get("summary") if envelope else None
    return f"{HEAD}\n\n{summary}" if isinstance(summary, str) and summary else None


def to_summary(body: Message, provider: Provider, dropped: list[str]) -> Message:
    """The body of an ordinary turn, in either dialect, made into one that asks for a summary.

    Messages and tools stay as they are, to the byte, as the provider has them in its cache; only
    where they exceed its window the oldest turns go. Raises BadRequest if there is nothing.
    """
    field = "messages" if "messages" in body else "input"
    form = {} if field == "messages" else {"type": "message"}
    lead, talk = _led(body[field], provider)
    if not talk:
        raise BadRequest("input: holds nothing to compact", param="input")
    without = {"response_format", "text"} | (set() if "none" in provider.tool_choices else TOOLS)
    made = {name: value for name, value in body.items() if name not in without}
    if made.keys() & {"tools", "tool_choice"}:  # tools may stand in the input, too
        made["tool_choice"] = "none"
    window = provider.context_window
    told = {"content": PROMPT + made.get("instructions", "")}
    fixed = sum(map(tokens, [*lead, *made.get("tools", ()), told]))
    units = fitting(_units(talk), window - min(ROOM, window // 4) - fixed)
    shown = [message for unit in units for message in unit]
    prompt = PROMPT
    if cut := len(talk) - len(shown):
        gap = GAP.format(cut)
        lead = [*lead, {**form, "role": "user", "content": gap}]  # some want a user to speak first
        prompt = f"{PROMPT}\n\n{gap}"
        dropped.append(f"input (the {cut} oldest messages)")
    return made | {field: [*lead, *shown, {**form, "role": "user", "content": prompt}]}


def _led(messages: list[Message], provider: Provider) -> tuple[list[Message], list[Message]]:
    """The leading instructions, and the conversation behind them."""
    lead = 1 if messages[0].get("role") == provider.system_role else 0
    return messages[:lead], messages[lead:]


def _units(messages: list[Message]) -> list[list[Message]]:
    """What must stay together: calls, their outputs, and the pictures that follow as a user's."""
    starts = [n for n, pair in enumerate(pairwise([{}, *messages])) if not n or not _joins(*pair)]
    return [messages[a:b] for a, b in pairwise([*starts, len(messages)])]


def _joins(before: Message, message: Message) -> bool:
    if _is_output(before) and message.get("role") == "user":
        return isinstance(message.get("content"), list)
    return _is_output(message) or (_is_step(before) and _is_step(message))


def _is_output(message: Message) -> bool:
    return message.get("role") == "tool" or message.get("type") in OUTPUTS


def _is_step(message: Message) -> bool:
    """What the model says, thinks and calls at once, which are items of their own in Responses."""
    kind = message.get("type")
    said = kind == "message" and message.get("role") == "assistant"
    return said or kind == "reasoning" or kind in BY_CALL


def fitting(units: list[list[Message]], room: int) -> list[list[Message]]:
    """The units that fit in `room` tokens, by estimate: the oldest go first.

    The newest stays in any case, and so do instructions and earlier summaries, which stand for
    all that was before them.
    """
    sizes = [sum(map(tokens, unit)) for unit in units]
    over, kept = sum(sizes) - room, []
    for unit, size in zip(units[:-1], sizes, strict=False):
        if over > 0 and not _lasting(unit[0]):
            over -= size
        else:
            kept.append(unit)
    return kept + units[-1:]


def _lasting(message: Message) -> bool:
    said = str(message.get("content"))
    return message.get("role") in ("system", "developer") or said.startswith(HEAD)


def to_compacted(response: Item, items: list[Item], provider: Provider, dropped: list[str]) -> Item:
    """What `/responses/compact` answers; its output is the next input.

    The messages that nobody can write again come first, as far as they fit in half the window.
    """
    seed = str(response["id"]).removeprefix("resp_")
    said = [
        {**item, "id": item.get("id") or f"msg_{seed}_{number}", "type": "message",
         "status": "completed", "content": _parts(item.get("content"))}
        for number, item in enumerate(items)
        if item.get("type", "message") == "message" and item.get("role") in KEPT
    ]  # fmt: skip
    kept = [unit[0] for unit in fitting([[item] for item in said], provider.context_window // 2)]
    if cut := len(said) - len(kept):
        dropped.append(f"output (the {cut} oldest messages)")
    return {
        "id": response["id"],
        "object": "response.compaction",
        "created_at": response["created_at"],
        "output": [*kept, *response["output"]],
        "usage": response["usage"],
    }


def _parts(content: Any) -> list[Item]:
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return content or []


class ToCompaction:
    """The reply machine of a summary request: the upstream's pieces in, one compaction item out.

    An ordinary machine listens to the model; of its events the client sees none.
    """

    def __init__(
        self,
        response: Item,
        *,
        hears: Callable[..., Machine],
        tools: ToolMap,
        provider: Provider,
        model: str,
        sent: bytes,
    ) -> None:
        self.ended: Outcome | None = None
        self.failure: Failure | None = None
        self._provider = provider
        self._model = model
        self._heard = hears(response, tools=tools, provider=provider, model=model, sent=sent)
        self._events = Events(response)

    @property
    def response(self) -> Item:
        return self._events.response

    def feed(self, chunk: dict[str, Any]) -> list[Event]:
        self._heard.feed(chunk)
        return self._told()

    def done(self) -> list[Event]:
        self._heard.done()
        return self._told()

    def lost(self, why: Failure) -> list[Event]:
        self._heard.lost(why)
        return self._told()

    def close(self) -> list[Event]:
        self._heard.close()
        return self._told()

    def fail(self, why: Failure) -> list[Event]:
        self._heard.fail(why)
        return self._told()

    def heartbeat(self) -> list[Event]:
        if not self.ended and not self._events.begin():
            self._events.progress()
        return self._events.drain()

    def _told(self) -> list[Event]:
        if self.ended:
            return []
        self._events.begin()
        if self._heard.ended:
            self._end(self._result(self._heard.ended))
        return self._events.drain()

    def _end(self, result: str | Failure) -> None:
        usage = self._heard.response["usage"]
        if isinstance(result, Failure):
            self.ended, self.failure = FAILED, result
            error = {"code": result.code, "message": result.message}
            self._events.end(FAILED.status, usage=usage, error=error)
            return
        self.ended = COMPLETED
        sealed = seal(Envelope(self._provider.name, self._model, {"summary": result}))
        index, item = self._events.open("cmp", {"type": "compaction", "encrypted_content": sealed})
        self._events.finish(index, item)
        self._events.end(COMPLETED.status, usage=usage)

    def _result(self, end: Outcome) -> str | Failure:
        """The summary, or why there is none. `invalid_prompt` is for what would happen again."""
        title = self._provider.title
        if self._heard.failure:
            return self._heard.failure
        if end is not COMPLETED:
            why = f"{title} did not finish the summary: {end.reason}"
            return Failure(400, "invalid_prompt", why)
        output = self._heard.response["output"]
        if any(item["type"] in BY_CALL for item in output):
            return Failure(502, "server_error", f"{title} called a tool instead of summarising")
        said = [part for item in output if item["type"] == "message" for part in item["content"]]
        if refused := "".join(part.get("refusal", "") for part in said):
            return Failure(400, "invalid_prompt", f"{title} refused to summarise: {refused}")
        summary = "".join(part.get("text", "") for part in said).strip()
        if summary == thoughts(output).strip():  # which was said for want of a summary
            return Failure(502, "server_error", f"{title} sent an empty summary")
        return summary
