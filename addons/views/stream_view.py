"""The view `Stream`: the reply so far, and the events of its stream with their times."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from addons.observe import PIECE_TIMES
from addons.views.base import RelayView, ShownMessage
from addons.views.dialects import (
    CALL_ARGUMENTS,
    call_fields,
    item_entries,
    reply_ending,
    reply_entries,
)
from addons.views.entries import move_outputs_to_calls
from addons.views.stream_parsing import ArrivalTimes, StreamEvent, assemble_reply, shown_events
from addons.views.text import RULE, content_text, to_one_line, value_text
from addons.views.usage_line import record_lines, token_usage
from translate import STREAM_DONE, is_event_stream

type Json = dict[str, Any]
STEP_WIDTH = 160  # characters of a step's text


class Stream(RelayView):
    name = "Stream"

    def relayed_priority(self, body: bytes, message: ShownMessage) -> float:
        return -1 if message.is_request or not is_event_stream(body) else 100

    def text_blocks(self, body: bytes, message: ShownMessage) -> Iterator[str]:
        times = ArrivalTimes(message.metadata.get(PIECE_TIMES))
        yield from stream_page(body, times, message.record)


def stream_page(body: bytes, times: ArrivalTimes, record: Json) -> Iterator[str]:
    """The reply so far, then a line for each step of its stream."""
    events = list(shown_events(body))
    reply = assemble_reply(event.json_value for event in events)
    ending, usage = reply_ending(reply) or "not finished", token_usage(reply.get("usage"))
    parts = [reply.get("model"), ending, usage, f"{len(events)} events"]
    yield " · ".join(str(part) for part in parts if part)
    yield from record_lines(record)
    yield ""
    for entry in move_outputs_to_calls(reply_entries(reply)):
        yield entry.to_block()
    yield f"{RULE} events, by the time since the request went up"
    for step in stream_steps(events, times):
        yield step.to_line()


@dataclass
class StreamStep:
    """One event, or a run of deltas that belong together."""

    label: str
    texts: list[str]
    is_delta: bool = False  # the next delta with the same label joins it
    first_ms: int | None = None
    last_ms: int | None = None
    event_count: int = 1

    def to_line(self) -> str:
        repeats = f" × {self.event_count}" if self.event_count > 1 else ""
        text = to_one_line("".join(self.texts), STEP_WIDTH)
        if text:
            text = f'  "{text}"' if self.is_delta else f"  {text}"
        return f"{self._time_range():<21}{self.label}{repeats}{text}".rstrip()

    def _time_range(self) -> str:
        if self.first_ms is None:
            return ""
        is_range = self.last_ms not in (None, self.first_ms)
        end = f" … {_format_seconds(self.last_ms or 0)}" if is_range else ""
        return f"{_format_seconds(self.first_ms)}{end}"


def _format_seconds(milliseconds: int) -> str:
    return f"+{milliseconds / 1000:.2f} s"


def stream_steps(events: Iterable[StreamEvent], times: ArrivalTimes) -> Iterator[StreamStep]:
    """The steps in the order of the stream; consecutive deltas with the same label are one step."""
    run: StreamStep | None = None
    for event in events:
        arrival_ms = times.milliseconds_at(event.end_offset)
        for step in _event_steps(event):
            step.first_ms = step.last_ms = arrival_ms
            if run and step.label == run.label and run.is_delta and step.is_delta:
                run.texts += step.texts
                run.event_count, run.last_ms = run.event_count + 1, arrival_ms
            else:
                if run:
                    yield run
                run = step
    if run:
        yield run


def _event_steps(event: StreamEvent) -> list[StreamStep]:
    match event.json_value:
        case None if event.is_comment:
            label = to_one_line(f"comment  {event.raw_text[1:].strip()}", STEP_WIDTH)
            return [StreamStep(label, [], is_delta=True)]
        case None if event.raw_text.strip() == STREAM_DONE.decode():
            return [StreamStep("[DONE]", [])]
        case None:
            return [StreamStep("not JSON", [event.raw_text])]
        case {"type": str(type_name)} if "choices" not in event.json_value:
            return [_response_step(type_name, event.json_value)]
        case dict():
            return _chunk_steps(event.json_value)
    return [StreamStep("other", [value_text(event.json_value)])]


def _response_step(type_name: str, event: Json) -> StreamStep:
    """The step of one Responses event."""
    is_done = type_name.endswith(".done")
    if type_name.endswith(".delta") and isinstance(event.get("delta"), str):
        return StreamStep(type_name, [event["delta"]], is_delta=True)
    if isinstance(item := event.get("item"), dict):
        [entry] = item_entries([item])
        text = entry.text if is_done and entry.category != "reasoning" else ""
        return StreamStep(type_name, [f"{entry.title}  {text}"])
    if isinstance(response := event.get("response"), dict):
        reason = response.get("error") or response.get("incomplete_details")
        parts = [token_usage(response.get("usage")), value_text(reason) if reason else ""]
        text = " · ".join(filter(None, parts))
        return StreamStep(type_name, [text], is_delta=type_name.endswith("in_progress"))
    if is_done or "part" in event:
        return StreamStep(type_name, [])
    fields = {k: v for k, v in event.items() if k not in ("type", "sequence_number")}
    return StreamStep(type_name, [value_text(fields) if fields else ""])


def _chunk_steps(chunk: Json) -> list[StreamStep]:
    """The steps of one Chat chunk, which may have several."""
    steps: list[StreamStep] = []
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            steps += _choice_steps(choice)
    if usage := token_usage(chunk.get("usage")):
        steps.append(StreamStep("usage", [usage]))
    if chunk.get("error"):
        steps.append(StreamStep("error", [value_text(chunk["error"])]))
    if "choices" not in chunk and not steps:
        steps.append(StreamStep("other", [value_text(chunk)]))
    return steps or [StreamStep("an empty chunk", [], is_delta=True)]


def _choice_steps(choice: Json) -> list[StreamStep]:
    steps: list[StreamStep] = []
    delta = choice.get("delta") or choice.get("message")
    for name, value in delta.items() if isinstance(delta, dict) else ():
        if name == "tool_calls" and isinstance(value, list):
            steps += [
                _call_step(f"delta.tool_calls[{call.get('index', '')}]", call)
                for call in value
                if isinstance(call, dict)
            ]
        elif name == "function_call" and isinstance(value, dict):
            steps.append(_call_step(f"delta.{name}", {"function": value}))
        elif name != "role" and value not in (None, "", [], {}):
            steps.append(StreamStep(f"delta.{name}", [content_text(value)], is_delta=True))
    if reason := choice.get("finish_reason"):
        steps.append(StreamStep("finish_reason", [str(reason)]))
    return steps


def _call_step(label: str, call: Json) -> StreamStep:
    type_name, fields = call_fields(call)
    arguments = str(fields.get(CALL_ARGUMENTS[type_name]) or "")
    if fields.get("name"):
        title = " · ".join(str(part) for part in (fields["name"], call.get("id")) if part)
        return StreamStep(label, [f"{title}  {arguments}".rstrip()])
    return StreamStep(label, [arguments], is_delta=True)
