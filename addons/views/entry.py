"""One thing that was said in a conversation, of either dialect, as a person reads it."""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from addons.views import text as paper

SYSTEM = frozenset({"system", "developer"})
FOLDED = {"system": 6, "tools": 6}  # lines shown of what a reader knows by heart
MOST = {"output": 6000, "other": 2000}  # characters

VERBATIM = frozenset({"call", "output"})  # a patch, a script, a listing


@dataclass(frozen=True)
class Entry:
    at: int  # its place in `input`, `messages` or `output`; -1: beside them
    kind: str  # system, user, assistant, reasoning, call, output, summary, tools, error, other
    who: str  # its headline
    text: str
    call: str = ""  # the id that a call and its output share

    @cached_property
    def words(self) -> str:
        """What tells it from others; spaces do not, as parts are joined in one way or another."""
        return "".join(self.text.split())

    def head(self) -> str:
        return f"{self.at} · {self.who}" if self.at >= 0 else self.who

    def body(self) -> str:
        if lines := FOLDED.get(self.kind):
            return paper.wrapped(paper.begin(self.text, lines))
        text = paper.fold(self.text.rstrip(), MOST.get(self.kind, paper.TEXT))
        return text if self.kind in VERBATIM else paper.wrapped(text)

    def block(self) -> str:
        return f"{paper.RULE} {self.head()}\n{self.body()}\n"


def kind_of(role: object) -> str:
    if role in SYSTEM:
        return "system"
    return str(role) if role in ("user", "assistant") else "other"


def answered(entries: Iterable[Entry]) -> Iterator[Entry]:
    """In their order, but each output right behind its call."""
    entries = list(entries)
    outputs: dict[str, deque[Entry]] = defaultdict(deque)
    for entry in entries:
        if entry.kind == "output":
            outputs[entry.call].append(entry)
    shown: set[int] = set()
    for entry in entries:
        if id(entry) in shown:
            continue
        yield entry
        if entry.kind == "call" and outputs[entry.call]:
            answer = outputs[entry.call].popleft()
            shown.add(id(answer))
            yield answer
