"""What each event of a stream says, in either dialect; runs of deltas become one step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from addons.views import words
from addons.views.dialects import entries
from addons.views.events import Clock, Piece
from addons.views.messages import GIVEN, inside
from addons.views.text import line
from addons.views.usage_line import tokens

Json = dict[str, Any]
WIDTH = 160  # characters of a step's text


@dataclass
class Step:
    """One event, or a run of them."""

    label: str
    texts: list[str]
    joins: bool = False  # a delta: the next one of the same label belongs to it
    first: int | None = None  # ms
    last: int | None = None
    count: int = 1

    def line(self) -> str:
        times = f" × {self.count}" if self.count > 1 else ""
        text = line("".join(self.texts), WIDTH)
        shown = f'  "{text}"' if self.joins and text else f"  {text}" if text else ""
        return f"{self.when():<21}{self.label}{times}{shown}".rstrip()

    def when(self) -> str:
        if self.first is None:
            return ""
        last = "" if self.last in (None, self.first) else f" … {offset(self.last or 0)}"
        return f"{offset(self.first)}{last}"


def offset(ms: int) -> str:
    return f"+{ms / 1000:.2f} s"


def steps(pieces: Iterable[Piece], clock: Clock) -> Iterator[Step]:
    """In the order of the stream."""
    run: Step | None = None
    for piece in pieces:
        at = clock.at(piece.end)
        for step in told(piece):
            step.first = step.last = at
            if run and step.label == run.label and run.joins and step.joins:
                run.texts += step.texts
                run.count, run.last = run.count + 1, at
            else:
                if run:
                    yield run
                run = step
    if run:
        yield run


def told(piece: Piece) -> list[Step]:
    match piece.data:
        case None if piece.raw.startswith(":"):
            return [Step(line(f"comment  {piece.raw[1:].strip()}", WIDTH), [], joins=True)]
        case None:
            ended = piece.raw.strip() == "[DONE]"
            return [Step("[DONE]" if ended else "not JSON", [] if ended else [piece.raw])]
        case {"type": str(kind)} if "choices" not in piece.data:
            return [event(kind, piece.data)]
        case dict():
            return chunk(piece.data)
    return [Step("other", [words.raw(piece.data)])]


def event(kind: str, data: Json) -> Step:
    """Of the Responses dialect."""
    if kind.endswith(".delta") and isinstance(data.get("delta"), str):
        return Step(kind, [data["delta"]], joins=True)
    if isinstance(item := data.get("item"), dict):
        [entry] = entries([item])
        text = entry.text if kind.endswith(".done") and entry.kind != "reasoning" else ""
        return Step(kind, [f"{entry.who}  {text}"])
    if isinstance(response := data.get("response"), dict):
        why = response.get("error") or response.get("incomplete_details")
        parts = [tokens(response.get("usage")), words.raw(why) if why else ""]
        return Step(kind, [" · ".join(filter(None, parts))], joins=kind.endswith("in_progress"))
    if kind.endswith(".done") or "part" in data:
        return Step(kind, [])
    rest = {k: v for k, v in data.items() if k not in ("type", "sequence_number")}
    return Step(kind, [words.raw(rest) if rest else ""])


def chunk(data: Json) -> list[Step]:
    """Of the Chat dialect: a chunk may say several things."""
    found: list[Step] = []
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            found += delta(choice)
    if usage := tokens(data.get("usage")):
        found.append(Step("usage", [usage]))
    if data.get("error"):
        found.append(Step("error", [words.raw(data["error"])]))
    if "choices" not in data and not found:
        found.append(Step("other", [words.raw(data)]))
    return found or [Step("an empty chunk", [], joins=True)]


def delta(choice: Json) -> list[Step]:
    found: list[Step] = []
    said = choice.get("delta") or choice.get("message")
    for name, value in said.items() if isinstance(said, dict) else ():
        if name == "tool_calls" and isinstance(value, list):
            found += [called(one) for one in value if isinstance(one, dict)]
        elif name == "function_call" and isinstance(value, dict):
            found.append(call(f"delta.{name}", {"function": value}))
        elif name != "role" and value not in (None, "", [], {}):
            found.append(Step(f"delta.{name}", [words.said(value)], joins=True))
    if reason := choice.get("finish_reason"):
        found.append(Step("finish_reason", [str(reason)]))
    return found


def called(one: Json) -> Step:
    return call(f"delta.tool_calls[{one.get('index', '')}]", one)


def call(label: str, one: Json) -> Step:
    kind, inner = inside(one)
    given = str(inner.get(GIVEN[kind]) or "")
    if inner.get("name"):
        named = " · ".join(str(part) for part in (inner["name"], one.get("id")) if part)
        return Step(label, [f"{named}  {given}".rstrip()])
    return Step(label, [given], joins=True)
