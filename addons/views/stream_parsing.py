"""A reply of either dialect, streamed or not, as one JSON body; of a growing one what there is."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from addons.views import dialects as items
from addons.views import messages, words
from addons.views.entry import Entry
from addons.views.events import is_stream, pieces
from translate.wire import codec

Json = dict[str, Any]
# Where the text of an item grows, by the end of the event's name.
GROWS = {
    "output_text": "content",
    "refusal": "content",
    "reasoning_text": "content",
    "reasoning_summary_text": "summary",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
}


def whole(body: bytes) -> Json:
    """Raises ValueError for what is neither a stream nor a JSON object."""
    if is_stream(body):
        return joined(piece.data for piece in pieces(body))
    found = codec.loads(body)
    if isinstance(found, list) and found and isinstance(found[0], dict):
        found = found[0]  # Gemini puts errors in a list
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def joined(data: Iterable[Any]) -> Json:
    """What the events of a stream make."""
    response, chat = Response(), Chat()
    errors: list[Any] = []
    for one in data:
        if not isinstance(one, dict):
            continue
        if isinstance(one.get("type"), str) and "choices" not in one:
            response.add(one["type"], one)
        else:
            chat.add(one)
        if one.get("error"):
            errors.append(one["error"])
    made = response.made() if response.begun else chat.made()
    return made | ({"error": errors[0]} if errors else {})


class Response:
    """Grows by the events of the Responses dialect."""

    def __init__(self) -> None:
        self.begun = False
        self._last: Json = {}
        self._items: list[Json] = []
        self._open: dict[str, int] = {}  # output_index → position, as some servers count wrongly
        self._texts: dict[tuple[int, str], list[str]] = defaultdict(list)

    def add(self, kind: str, event: Json) -> None:
        self.begun = True
        index = str(event.get("output_index"))
        if isinstance(event.get("response"), dict):
            self._last = event["response"]
        elif isinstance(event.get("item"), dict):
            self._item(kind, index, event["item"])
        elif kind.endswith(".delta") and isinstance(event.get("delta"), str):
            name = kind.removesuffix(".delta").rpartition(".")[2]
            at = self._at(index)
            self._texts[at, GROWS.get(name, "content")].append(event["delta"])

    def _item(self, kind: str, index: str, item: Json) -> None:
        if not kind.endswith(".done"):
            self._open.pop(index, None)
        at = self._at(index)
        self._items[at] = item
        if kind.endswith(".done"):
            self._open.pop(index)
            for field in GROWS.values():
                self._texts.pop((at, field), None)

    def _at(self, index: str) -> int:
        """The position of the open item of this index; a new one where there is none."""
        if index not in self._open:
            self._open[index] = len(self._items)
            self._items.append({"type": "message", "role": "assistant"})
        return self._open[index]

    def made(self) -> Json:
        output = self._last.get("output")
        if isinstance(output, list) and output:
            return self._last
        made = list(self._items)
        for (at, field), texts in self._texts.items():
            text = "".join(texts)
            parts = [{"type": "text", "text": text}]
            made[at] = {**made[at], field: parts if field in ("content", "summary") else text}
        return {**self._last, "output": made}


class Chat:
    """Grows by the chunks of the Chat dialect."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._texts: dict[str, list[str]] = defaultdict(list)
        self._lists: dict[str, list[Any]] = defaultdict(list)
        self._calls: list[Json] = []
        self._by_index: dict[str, Json] = {}
        self._finish: Any = None

    def add(self, chunk: Json) -> None:
        self._head |= {k: v for k, v in chunk.items() if k not in ("choices", "error") and v}
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            if not isinstance(choice, dict) or choice.get("index"):
                continue  # further choices are not asked for
            self._finish = choice.get("finish_reason") or self._finish
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                self._grow(delta)

    def _grow(self, delta: Json) -> None:
        for name, value in delta.items():
            if name == "tool_calls" and isinstance(value, list):
                for call in value:
                    if isinstance(call, dict):
                        self._call(call)
            elif name == "function_call" and isinstance(value, dict):
                self._call({"index": name, "function": value})
            elif isinstance(value, str):
                self._texts[name].append(value)
            elif isinstance(value, list):
                self._lists[name] += value

    def _call(self, call: Json) -> None:
        kind, inner = messages.inside(call)
        index = str(call.get("index", call.get("id")))
        known = self._by_index.get(index)
        if known is None or (inner.get("name") and call.get("id") not in (None, known["id"])):
            known = {"id": call.get("id"), "kind": kind, "name": None, "given": []}
            self._by_index[index] = known
            self._calls.append(known)
        known["name"] = known["name"] or inner.get("name")
        known["given"].append(str(inner.get(messages.GIVEN[kind]) or ""))

    def made(self) -> Json:
        message: Json = {"role": "assistant"}
        message |= self._lists
        for name, texts in self._texts.items():
            if name != "role":
                more = self._lists.get(name)
                text = "".join(texts)
                message[name] = [*more, {"type": "text", "text": text}] if more else text
        if self._calls:
            message["tool_calls"] = list(map(whole_call, self._calls))
        begun = len(message) > 1 or self._finish
        choices = [{"message": message, "finish_reason": self._finish}] if begun else []
        return {**self._head, "choices": choices}


def whole_call(call: Json) -> Json:
    kind, given = call["kind"], "".join(call["given"])
    return {"id": call["id"], kind: {"name": call["name"], messages.GIVEN[kind]: given}}


def entries(reply: Json) -> Iterator[Entry]:
    """What was said in it."""
    choices = reply.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            yield from messages.entries([choice.get("message")])
    output = reply.get("output", reply.get("data"))  # a kept response's input_items
    yield from items.entries(output if isinstance(output, list) else [])
    if error := reply.get("error"):
        text = error.get("message") if isinstance(error, dict) else error
        yield Entry(0, "error", "error", f"{words.said(text)}\n{words.raw(error)}".strip())


def ended(reply: Json) -> str:
    """How it ended, in its own words."""
    choices = reply.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return str(choices[0].get("finish_reason") or "not finished")
    return str(reply.get("status") or "")
