"""The view `Turn`: a request or a reply as the conversation that it carries."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from addons.views.base import RelayView, ShownMessage, first_character
from addons.views.dialects import (
    count_tools,
    declared_tools,
    reply_ending,
    reply_entries,
    request_entries,
)
from addons.views.entries import move_outputs_to_calls
from addons.views.stream_parsing import parse_reply
from addons.views.text import text_size, to_one_line, value_text, wrap_prose
from addons.views.usage_line import dropped_and_notes, record_lines, token_usage
from translate import is_event_stream, load_json

type Json = dict[str, Any]
MAX_PARAMETERS = 500  # of a request, and of a parameter
# Shown elsewhere on the page.
CONVERSATION_FIELDS = frozenset(
    {"input", "messages", "instructions", "tools", "functions", "model", "stream"}
)
# Of no interest to a reader.
BOOKKEEPING_FIELDS = frozenset({"client_metadata", "prompt_cache_key", "stream_options"})


class Turn(RelayView):
    name = "Turn"

    def relayed_priority(self, body: bytes, message: ShownMessage) -> float:
        if is_event_stream(body):
            return 50
        return 100 if first_character(body) in (b"{", b"[") else -1

    def text_blocks(self, body: bytes, message: ShownMessage) -> Iterator[str]:
        page = request_page if message.is_request else reply_page
        yield from page(body, message.record)


def request_page(body: bytes, record: Json) -> Iterator[str]:
    """A request of either dialect. Raises ValueError unless it is a JSON object."""
    request = load_json(body)
    if not isinstance(request, dict):
        raise ValueError("it is not a JSON object")
    entries = request_entries(request)
    yield wrap_prose(parameters_line(request))
    if tools := list(declared_tools(request)):
        yield wrap_prose(count_tools(tools))
    yield from dropped_and_notes(record)
    if entries:
        count = f"{len(entries)} entr{'y' if len(entries) == 1 else 'ies'}"
        last = entries[-1]
        yield wrap_prose(f"{count}; the last: {last.title}: {to_one_line(last.text, 200)}")
    yield ""
    for entry in move_outputs_to_calls(entries):
        yield entry.to_block()


def parameters_line(request: Json) -> str:
    """`gpt-5.5 · streams · reasoning.effort high · parallel_tool_calls true`"""
    parameters = [f"{name} {value}" for name, value in _request_parameters(request)]
    mode = "streams" if request.get("stream") else "in one piece"
    return " · ".join([str(request.get("model")), mode, *parameters])


def _request_parameters(request: Json) -> Iterator[tuple[str, str]]:
    """The parameters beside the conversation; fields of nested ones have dotted names."""
    for name, value in islice(request.items(), MAX_PARAMETERS):
        if name in CONVERSATION_FIELDS or name in BOOKKEEPING_FIELDS or value in (None, [], {}):
            continue
        if isinstance(value, dict) and name in ("reasoning", "text"):
            fields = islice(value.items(), MAX_PARAMETERS)
            yield from ((f"{name}.{key}", short_value(item)) for key, item in fields)
        else:
            yield name, short_value(value)


def short_value(value: Any) -> str:
    """A value on one line; only its size if it is very long."""
    text = value if isinstance(value, str) else value_text(value)
    return to_one_line(text, 200) if len(text) <= 2000 else text_size(text)


def reply_page(body: bytes, record: Json) -> Iterator[str]:
    """A reply of either dialect. Raises ValueError if it is neither a stream nor a JSON object."""
    reply = parse_reply(body)
    parts = [reply.get("model"), reply_ending(reply), token_usage(reply.get("usage"))]
    yield " · ".join(str(part) for part in parts if part)
    yield from record_lines(record)
    yield ""
    for entry in move_outputs_to_calls(reply_entries(reply)):
        yield entry.to_block()
