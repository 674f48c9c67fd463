"""The view `Both sides`: the client's message beside the provider's.

For requests: the translation of each parameter, tool and entry. For replies: the events by time.
"""

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mitmproxy.http import HTTPFlow, Request

from addons.config import available_providers
from addons.ingress import is_codex_request
from addons.observe import PAIR_SIDE, PIECE_TIMES
from addons.views.base import RelayView, ShownMessage, decoded_body
from addons.views.dialects import SEARCH_OPTIONS, declared_tools, request_entries, tool_names
from addons.views.entries import FOLDED_LINES, Entry, group_matches
from addons.views.stream_parsing import ArrivalTimes, shown_events
from addons.views.stream_view import StreamStep, stream_steps
from addons.views.text import (
    PROSE_WIDTH,
    RULE,
    first_lines,
    label_lines,
    to_one_line,
    wrap_prose,
)
from addons.views.turn_view import MAX_PARAMETERS, reply_page, short_value
from addons.views.usage_line import dropped_and_notes, record_lines
from translate import is_event_stream, load_json

type Json = dict[str, Any]
PARTNER_GONE = "The other flow of this exchange is gone."
ENTRY_LINES = 12
ENTRY_LIMIT = 2000  # characters
MAX_DROPPED = 500  # paths that are looked up
NAME_WIDTH = 80  # characters of a parameter's name
VALUE_WIDTH = 60  # characters of a parameter's value


class BothSides(RelayView):
    name = "Both sides"

    def relayed_priority(self, body: bytes, message: ShownMessage) -> float:
        return 10 if PAIR_SIDE in message.metadata else -1

    def text_blocks(self, body: bytes, message: ShownMessage) -> Iterator[str]:
        client, upstream = message.client_and_upstream()
        if client is None or upstream is None:
            is_pair = PAIR_SIDE in message.metadata
            yield PARTNER_GONE if is_pair else "This flow was not relayed."
            return
        names = side_names(client.request, message.record)
        if message.is_request:
            old, new = (load_json(decoded_body(flow.request)) for flow in (client, upstream))
            yield from request_comparison(old, new, names, message.record)
        else:
            sides = reply_side(upstream), reply_side(client)
            yield from reply_comparison(*sides, names, message.record)


@dataclass(frozen=True)
class SideNames:
    client_name: str
    provider_name: str

    @property
    def labels(self) -> tuple[str, str]:
        """Both names, padded to the same width."""
        width = max(len(self.client_name), len(self.provider_name))
        return self.client_name.ljust(width), self.provider_name.ljust(width)


def side_names(request: Request, record: Json) -> SideNames:
    client = "Codex" if is_codex_request(request.headers) else "client"
    return SideNames(client, str(record.get("provider", "provider")))


# Requests


def request_comparison(old: Json, new: Json, names: SideNames, record: Json) -> Iterator[str]:
    """The client's request, and the request that the relay sent in its place."""
    old_model, new_model = old.get("model"), new.get("model")
    yield f"{names.client_name} asked for {old_model} → {names.provider_name} got {new_model}"
    yield from dropped_and_notes(record)
    yield ""
    dropped = list(map(str, record.get("dropped") or ()))[:MAX_DROPPED]
    yield from parameter_table(old, new, dropped)
    yield from tool_changes(all_tool_names(old), all_tool_names(new))
    for old_entries, new_entries in group_matches(request_entries(old), request_entries(new)):
        yield _group_block(old_entries, new_entries, names, dropped)


def _group_block(old: list[Entry], new: list[Entry], names: SideNames, dropped: list[str]) -> str:
    """`━━ Codex 3 · user → deepseek 2 · user, the same words`, and the texts below it."""
    client_label, provider_label = names.labels
    old_headlines = ", ".join(entry.headline() for entry in old)
    if not new:
        reason = _drop_reason(old[0], dropped)
        head = f"{RULE} {names.client_name} {old_headlines} → nothing{reason}"
        return f"{head}\n{_labelled_texts(client_label, old)}"
    new_headline = f"{names.provider_name} {new[0].headline()}"
    if not old:
        return f"{RULE} {new_headline}, added here\n{_labelled_texts(provider_label, new)}"
    head = f"{RULE} {names.client_name} {old_headlines} → {new_headline}"
    if len(old) == 1 and old[0].compact_text == new[0].compact_text:
        both_label = "both".ljust(len(client_label))
        return f"{head}, the same words\n{_labelled_texts(both_label, new)}"
    if all(entry.compact_text in new[0].compact_text for entry in old):
        change = "joined" if len(old) > 1 else "with more around it"
        return f"{head}, {change}\n{_labelled_texts(client_label, old)}"
    return f"{head}\n{_labelled_texts(client_label, old)}{_labelled_texts(provider_label, new)}"


def _labelled_texts(label: str, entries: list[Entry]) -> str:
    texts = (
        first_lines(entry.text, FOLDED_LINES.get(entry.category, ENTRY_LINES), ENTRY_LIMIT)
        for entry in entries
    )
    width = PROSE_WIDTH - len(label)
    return "".join(f"{label_lines(label, wrap_prose(text, width))}\n" for text in texts)


def _drop_reason(entry: Entry, dropped: list[str]) -> str:
    """Why an entry has no match in the new request, if the record tells."""
    if entry.category == "tools":
        return ": its tools are declared with the others"
    paths = f"input[{entry.index}]", f"messages[{entry.index}]"  # one for each dialect
    reasons = [reason for reason in dropped if reason.startswith(paths)]
    if reasons:
        return f": dropped as {', '.join(reasons)}"
    return "" if entry.compact_text else ": it says nothing"


# The parameters and tools of requests

NOT_PARAMETERS = frozenset(
    {"input", "messages", "instructions", "tools", "functions", SEARCH_OPTIONS}
)
NESTED_PARAMETERS = frozenset({"reasoning", "text", "stream_options", "thinking"})
# The client's name of a parameter → the names that upstreams use.
PARAMETER_ALIASES = {
    "reasoning.effort": ("reasoning_effort", "reasoning", "thinking.type", "enable_thinking"),
    "text.format": ("response_format",),
    "text.verbosity": ("verbosity",),
    "reasoning_effort": ("reasoning.effort", "reasoning", "thinking.type", "enable_thinking"),
    "response_format": ("text.format",),
    "verbosity": ("text.verbosity",),
    "function_call": ("tool_choice",),
}


def parameter_aliases(name: str) -> Sequence[str]:
    """The names that upstreams use for a client's parameter."""
    token_limits = {provider.max_tokens for provider in available_providers().values()}
    if name == "max_output_tokens" or name in token_limits:
        return ["max_output_tokens", *sorted(token_limits)]
    return PARAMETER_ALIASES.get(name, ())


def parameter_table(old: Json, new: Json, dropped: list[str]) -> Iterator[str]:
    """The lines of a table: the client's parameters, their values, and the upstream's for each."""
    old_values, new_values = dict(_flat_parameters(old)), dict(_flat_parameters(new))
    rows = []
    for name, value in old_values.items():
        aliases = (name, *parameter_aliases(name))
        if new_name := next((alias for alias in aliases if alias in new_values), None):
            rows.append((name, value, f"→ {new_name} {new_values.pop(new_name)}"))
        else:
            rows.append((name, value, "✗ dropped" if name in dropped else "– not sent"))
    rows += [("", "", f"+ {name} {value}") for name, value in new_values.items()]
    yield f"{RULE} parameters"
    name_width = max((len(name) for name, _, _ in rows), default=0)
    value_width = max((len(value) for _, value, _ in rows), default=0)
    for name, value, change in rows:
        yield f"{name:<{name_width}}  {value:<{value_width}}  {change}"
    yield ""


def _flat_parameters(request: Json) -> Iterator[tuple[str, str]]:
    """Names and values; the fields of nested parameters have dotted names."""
    for name, value in islice(request.items(), MAX_PARAMETERS):
        if name in NOT_PARAMETERS:
            continue
        if isinstance(value, dict) and name in NESTED_PARAMETERS:
            fields = islice(value.items(), MAX_PARAMETERS)
            names = ((f"{name}.{key}", item) for key, item in fields)
            yield from ((_name_text(path), _cell_text(item)) for path, item in names)
        else:
            yield _name_text(name), _cell_text(value)


def _name_text(name: str) -> str:
    return to_one_line(name, NAME_WIDTH)


def _cell_text(value: Any) -> str:
    return to_one_line(short_value(value), VALUE_WIDTH)


def tool_changes(old: list[str], new: list[str]) -> Iterator[str]:
    """Which tools keep their name, which are renamed, and which only one side has."""
    if not old and not new:
        return
    added = {_tool_key(name): name for name in new}
    same, renamed, not_sent = [], [], []
    for name in old:
        new_name = added.pop(_tool_key(name), None)
        if new_name is None:
            not_sent.append(name)
        elif new_name in (name, name.partition(" ")[0]):
            same.append(name)
        else:
            renamed.append(f"{name} → {new_name}")
    yield f"{RULE} tools: {len(old)} → {len(new)}"
    changes = {
        "as they are": same,
        "renamed": renamed,
        "not sent": not_sent,
        "added": added.values(),
    }
    for change, names in changes.items():
        if names:
            yield wrap_prose(f"{change}: {', '.join(names)}")
    yield ""


def _tool_key(name: str) -> str:
    """A key that is the same for both forms of a name, as `mcp.add` and `mcp__add`."""
    return re.sub(r"[\W_]+", "_", name.partition(" ")[0]).lower()


def all_tool_names(request: Json) -> list[str]:
    """The names of all tools of a request, including those that its input declares."""
    items = request.get("input")
    items = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    from_input = (name for item in items for name in tool_names(item.get("tools")))
    return list(dict.fromkeys([*declared_tools(request), *from_input]))


# Replies


@dataclass(frozen=True)
class ReplySide:
    """The reply of one flow, which may still be streaming."""

    body: bytes
    times: ArrivalTimes
    status_text: str

    def steps(self) -> list[StreamStep]:
        return list(stream_steps(shown_events(self.body), self.times))


def reply_side(flow: HTTPFlow) -> ReplySide:
    status = f"HTTP {flow.response.status_code}" if flow.response else "no reply"
    error = f", {flow.error.msg}" if flow.error else ""
    times = ArrivalTimes(flow.metadata.get(PIECE_TIMES))
    return ReplySide(decoded_body(flow.response), times, f"{status}{error}")


def reply_comparison(
    upstream: ReplySide, client: ReplySide, names: SideNames, record: Json
) -> Iterator[str]:
    """Both replies: merged by time if both are streams, else one after the other."""
    upstream_head = f"{names.provider_name}: {upstream.status_text}"
    yield f"{upstream_head} → {names.client_name}: {client.status_text}"
    yield from record_lines(record)
    yield ""
    client_label, provider_label = names.labels
    if is_event_stream(upstream.body) and is_event_stream(client.body):
        yield from _merge_by_time((provider_label, upstream), (client_label, client))
        return
    for name, side in ((names.provider_name, upstream), (names.client_name, client)):
        yield f"{RULE}{RULE} {name}: {side.status_text}\n"
        yield from _single_reply(side)


def _merge_by_time(*sides: tuple[str, ReplySide]) -> Iterator[str]:
    """The steps of both sides by time; of simultaneous ones, the first side's come first."""
    sorted_steps = [
        [
            (step.first_ms or 0, side_index, step_index, label, step)
            for step_index, step in enumerate(side.steps())
        ]
        for side_index, (label, side) in enumerate(sides)
    ]
    for _, _, _, label, step in heapq.merge(*sorted_steps):
        yield f"{label} │ {step.to_line()}"


def _single_reply(side: ReplySide) -> Iterator[str]:
    try:
        yield from reply_page(side.body, {})
    except ValueError:  # such as a gateway's HTML page
        yield side.body.decode("utf-8", "replace") + "\n"
