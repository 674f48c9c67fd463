"""Compaction: a trigger → a summary request; its reply → a compaction item; the item → text again.

Source: https://developers.openai.com/api/docs/guides/compaction. As measured, Codex requires a
reply that completes with exactly one `compaction` item.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from translate.mappings.outcome import COMPLETED, FAILED, Outcome, SentRequest, estimate_tokens
from translate.mappings.reasoning import all_reasoning_text
from translate.providers.profile import Provider
from translate.reply.event_writer import Event, EventWriter, ReplyMachine
from translate.tools.kinds import KIND_BY_CALL_TYPE, OUTPUT_TYPES
from translate.tools.tool_map import ToolMap
from translate.wire.envelope import Envelope, open_envelope, seal_envelope
from translate.wire.errors import BadRequest, Failure

Item = dict[str, Any]
Message = dict[str, Any]

COMPACTION_TRIGGER = "compaction_trigger"
# The last two were names of the item for some months of 2026.
COMPACTION_TYPES = frozenset({"compaction", "context_compaction", "compaction_summary"})

SUMMARY_HEADER = (
    "[A summary of the conversation so far, in place of the messages that are no longer shown. "
    "You wrote it, or a model before you did. Take it as what has happened and go on from there.]"
)
UNREADABLE_SUMMARY = (
    "[Here stood a summary of the earlier conversation. Another service has sealed it, so that it "
    "cannot be read any more.]"
)
GAP_NOTICE = "[The {} oldest messages are not shown, as they would not fit.]"
SUMMARY_PROMPT = """\
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

SUMMARY_TOKENS = 16_000  # reserved for the summary, up to a quarter of the window
TOOL_PARAMETERS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
REPEATED_ROLES = ("user", "developer", "system")  # `/responses/compact` returns their messages


def asks_for_compaction(items: object) -> bool:
    """Whether the last item of an input is a compaction trigger."""
    last = items[-1] if isinstance(items, list) and items else None
    return isinstance(last, dict) and last.get("type") == COMPACTION_TRIGGER


def summary_text(item: Item) -> str | None:
    """The text for a compaction item; None for an item that the relay did not seal.

    Any provider may get it, whichever wrote it: a summary is plain text.
    """
    envelope = open_envelope(item.get("encrypted_content"))
    summary = envelope.payload.get("summary") if envelope else None
    return f"{SUMMARY_HEADER}\n\n{summary}" if isinstance(summary, str) and summary else None


def to_summary_request(body: Message, provider: Provider) -> tuple[Message, list[str]]:
    """The body that asks for a summary, from that of an ordinary turn, and what was dropped.

    It takes either dialect. Messages and tools stay the same to the byte, as the provider has them
    in its cache; the oldest turns go only where the rest would not fit in its window. Raises
    BadRequest if there is nothing to summarise.
    """
    field = "messages" if "messages" in body else "input"
    item_type = {} if field == "messages" else {"type": "message"}
    lead, messages = _split_lead(body[field], provider)
    if not messages:
        raise BadRequest("input: holds nothing to compact", param="input")
    request = _summary_fields(body, provider)
    prompt = {"content": SUMMARY_PROMPT + request.get("instructions", "")}
    fixed_size = sum(map(estimate_tokens, [*lead, *request.get("tools", ()), prompt]))
    window = provider.context_window
    room = window - min(SUMMARY_TOKENS, window // 4) - fixed_size
    units = fitting_units(_split_units(messages), room)
    newest_messages = [message for unit in units for message in unit]
    text, dropped = SUMMARY_PROMPT, []
    if count := len(messages) - len(newest_messages):
        gap = GAP_NOTICE.format(count)
        # some providers require that the first message is the user's
        lead = [*lead, {**item_type, "role": "user", "content": gap}]
        text = f"{SUMMARY_PROMPT}\n\n{gap}"
        dropped = [f"input (the {count} oldest messages)"]
    question = {**item_type, "role": "user", "content": text}
    return request | {field: [*lead, *newest_messages, question]}, dropped


def _summary_fields(body: Message, provider: Provider) -> Message:
    """The body without the fields that would keep the model from writing a summary."""
    omitted_fields = {"response_format", "text"}
    if "none" not in provider.tool_choices:
        omitted_fields |= TOOL_PARAMETERS
    fields = {name: value for name, value in body.items() if name not in omitted_fields}
    if fields.keys() & {"tools", "tool_choice"}:  # the latter alone: tools in the input
        fields["tool_choice"] = "none"
    return fields


def _split_lead(messages: list[Message], provider: Provider) -> tuple[list[Message], list[Message]]:
    """The leading instructions, and the conversation behind them."""
    count = 1 if messages[0].get("role") == provider.system_role else 0
    return messages[:count], messages[count:]


def _split_units(messages: list[Message]) -> list[list[Message]]:
    """Messages that must stay together: calls, their outputs, and the outputs' images."""
    units: list[list[Message]] = []
    for previous, message in pairwise([{}, *messages]):
        if units and _belong_together(previous, message):
            units[-1].append(message)
        else:
            units.append([message])
    return units


def _belong_together(previous: Message, message: Message) -> bool:
    if _is_output(previous) and message.get("role") == "user":
        return isinstance(message.get("content"), list)  # the outputs' images
    return _is_output(message) or (_is_assistant_item(previous) and _is_assistant_item(message))


def _is_output(message: Message) -> bool:
    return message.get("role") == "tool" or message.get("type") in OUTPUT_TYPES


def _is_assistant_item(message: Message) -> bool:
    """Text, reasoning and calls of one turn are items of their own in Responses."""
    item_type = message.get("type")
    is_text = item_type == "message" and message.get("role") == "assistant"
    return is_text or item_type == "reasoning" or item_type in KIND_BY_CALL_TYPE


def fitting_units(units: list[list[Message]], room: int) -> list[list[Message]]:
    """The units that fit in `room` tokens, by estimate: the oldest go first.

    The newest unit always stays, and so do instructions and earlier summaries, which stand for
    older messages.
    """
    sizes = [sum(map(estimate_tokens, unit)) for unit in units]
    excess, result = sum(sizes) - room, []
    for unit, size in zip(units[:-1], sizes, strict=False):
        if excess > 0 and not _must_stay(unit[0]):
            excess -= size
        else:
            result.append(unit)
    return result + units[-1:]


def _must_stay(message: Message) -> bool:
    is_summary = str(message.get("content")).startswith(SUMMARY_HEADER)
    return message.get("role") in ("system", "developer") or is_summary


def to_compacted_body(
    response: Item, items: list[Item], provider: Provider
) -> tuple[Item, list[str]]:
    """The body of a reply from `/responses/compact`, and what was dropped.

    Its output is the client's next input. Messages that no summary can replace come first, as far
    as they fit in half the window.
    """
    seed = str(response["id"]).removeprefix("resp_")
    messages = [
        {**item, "id": item.get("id") or f"msg_{seed}_{number}", "type": "message",
         "status": "completed", "content": content_parts(item.get("role"), item.get("content"))}
        for number, item in enumerate(items)
        if item.get("type", "message") == "message" and item.get("role") in REPEATED_ROLES
    ]  # fmt: skip
    units = fitting_units([[message] for message in messages], provider.context_window // 2)
    count = len(messages) - len(units)
    compacted = {
        "id": response["id"],
        "object": "response.compaction",
        "created_at": response["created_at"],
        "output": [*(unit[0] for unit in units), *response["output"]],
        "usage": response["usage"],
    }
    return compacted, [f"output (the {count} oldest messages)"] if count else []


def content_parts(role: object, content: Any) -> list[Item]:
    """The content of a message as a list of parts."""
    if not isinstance(content, str):
        return content or []
    if role == "assistant":
        return [{"type": "output_text", "text": content, "annotations": []}]
    return [{"type": "input_text", "text": content}]


class ToCompaction:
    """The reply machine of a summary request: the upstream's reply in, one compaction item out.

    `new_inner_machine` creates the machine that reads the model's reply; the client gets none of
    its events.
    """

    def __init__(
        self,
        response: Item,
        *,
        new_inner_machine: Callable[..., ReplyMachine],
        tools: ToolMap,
        provider: Provider,
        model: str,
        request_body: SentRequest,
    ) -> None:
        self.outcome: Outcome | None = None
        self.failure: Failure | None = None
        self._provider = provider
        self._model = model
        self._inner = new_inner_machine(
            response, tools=tools, provider=provider, model=model, request_body=request_body
        )
        self._writer = EventWriter(response)

    @property
    def response(self) -> Item:
        return self._writer.response

    @property
    def dropped(self) -> Sequence[str]:
        return self._inner.dropped

    def mark_dropped(self, path: str) -> None:
        self._inner.mark_dropped(path)

    def feed(self, chunk: dict[str, Any]) -> list[Event]:
        self._inner.feed(chunk)
        return self._new_events()

    def mark_done(self) -> list[Event]:
        self._inner.mark_done()
        return self._new_events()

    def lose_connection(self, failure: Failure) -> list[Event]:
        self._inner.lose_connection(failure)
        return self._new_events()

    def close(self) -> list[Event]:
        self._inner.close()
        return self._new_events()

    def fail(self, failure: Failure) -> list[Event]:
        self._inner.fail(failure)
        return self._new_events()

    def heartbeat_events(self) -> list[Event]:
        if not self.outcome and not self._writer.emit_opening():
            self._writer.emit_progress()
        return self._writer.drain()

    def _new_events(self) -> list[Event]:
        if self.outcome:
            return []
        self._writer.emit_opening()
        if self._inner.outcome:
            self._end_reply(self._read_summary(self._inner.outcome))
        return self._writer.drain()

    def _end_reply(self, summary: str | Failure) -> None:
        usage = self._inner.response["usage"]
        if isinstance(summary, Failure):
            self.outcome, self.failure = FAILED, summary
            self._writer.end_response(
                FAILED.response_status, usage=usage, error=summary.error_fields
            )
            return
        sealed_state = seal_envelope(
            Envelope(self._provider.name, self._model, {"summary": summary})
        )
        item = {"type": "compaction", "encrypted_content": sealed_state}
        self._writer.finish_item(*self._writer.open_item("cmp", item))
        self.outcome = COMPLETED
        self._writer.end_response(COMPLETED.response_status, usage=usage)

    def _read_summary(self, outcome: Outcome) -> str | Failure:
        """The summary, or why there is none.

        Codex does not repeat a request that failed with `invalid_prompt`.
        """
        title = self._provider.title
        if self._inner.failure:
            return self._inner.failure
        if outcome is not COMPLETED:
            message = f"{title} did not finish the summary: {outcome.incomplete_reason}"
            return Failure(400, "invalid_prompt", message)
        output = self._inner.response["output"]
        if any(item["type"] in KIND_BY_CALL_TYPE for item in output):
            return Failure(502, "server_error", f"{title} called a tool instead of summarising")
        parts = [part for item in output if item["type"] == "message" for part in item["content"]]
        if refusal := "".join(part.get("refusal", "") for part in parts):
            return Failure(400, "invalid_prompt", f"{title} refused to summarise: {refusal}")
        summary = "".join(part.get("text", "") for part in parts).strip()
        if summary == all_reasoning_text(output).strip():  # reasoning that stands for an answer
            return Failure(502, "server_error", f"{title} sent an empty summary")
        return summary
