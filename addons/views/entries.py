"""An entry is one message, call, output or other part of a conversation, as a person reads it.

The entries of a request are also matched here with those of its translation.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from addons.views.text import RULE, TEXT_LIMIT, first_lines, fold_middle, wrap_prose

SYSTEM_ROLES = frozenset({"system", "developer"})
# Lines shown of texts that are the same in every request.
FOLDED_LINES = {"system": 6, "tools": 6}
TEXT_LIMITS = {"output": 6000, "other": 2000}  # characters
VERBATIM_CATEGORIES = frozenset({"call", "output"})  # a patch, a script, a listing: never wrapped

SEARCH_ROOM = 50_000_000  # characters searched for joined texts
SEARCH_DISTANCE = 4  # entries searched for a text that was joined or changed


@dataclass(frozen=True)
class Entry:
    index: int  # its position in `input`, `messages` or `output`; -1: outside them
    category: str  # system, user, assistant, reasoning, call, output, summary, tools, error, other
    title: str
    text: str
    call_id: str = ""  # a call and its output share it

    @cached_property
    def compact_text(self) -> str:
        """The text without spaces, by which entries are compared: joined parts differ in spaces."""
        return "".join(self.text.split())

    def headline(self) -> str:
        return f"{self.index} · {self.title}" if self.index >= 0 else self.title

    def shown_text(self) -> str:
        """The text, folded and wrapped."""
        if count := FOLDED_LINES.get(self.category):
            return wrap_prose(first_lines(self.text, count))
        text = fold_middle(self.text.rstrip(), TEXT_LIMITS.get(self.category, TEXT_LIMIT))
        return text if self.category in VERBATIM_CATEGORIES else wrap_prose(text)

    def to_block(self) -> str:
        return f"{RULE} {self.headline()}\n{self.shown_text()}\n"


def role_category(role: object) -> str:
    """The category of the entry for a message of this role."""
    if role in SYSTEM_ROLES:
        return "system"
    return str(role) if role in ("user", "assistant") else "other"


def move_outputs_to_calls(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries in their order, except that each output follows its call."""
    entries = list(entries)
    outputs: dict[str, deque[Entry]] = defaultdict(deque)
    for entry in entries:
        if entry.category == "output":
            outputs[entry.call_id].append(entry)
    moved: set[int] = set()
    for entry in entries:
        if id(entry) in moved:
            continue
        yield entry
        if entry.category == "call" and outputs[entry.call_id]:
            output = outputs[entry.call_id].popleft()
            moved.add(id(output))
            yield output


# Matching

type Positions = dict[int, int]  # position in the old list → position in the new list

MatchKey = Callable[[Entry], Hashable]
# The surest key first; None: an entry without such a key.
MATCH_KEYS: tuple[MatchKey, ...] = (
    lambda entry: (entry.category, entry.call_id, entry.compact_text) if entry.call_id else None,
    lambda entry: (entry.category, entry.call_id) if entry.call_id else None,
    lambda entry: (entry.category, entry.compact_text),
    lambda entry: entry.compact_text or None,
)


def match_entries(old: Sequence[Entry], new: Sequence[Entry]) -> Positions:
    """The new position of each old entry with a match: by call, by text or by part of a text."""
    matches: Positions = {}
    for match_key in MATCH_KEYS:
        used = set(matches.values())
        positions: dict[Hashable, deque[int]] = defaultdict(deque)
        for index, entry in enumerate(new):
            if index not in used and (key := match_key(entry)) is not None:
                positions[key].append(index)
        for index, entry in enumerate(old):
            if index not in matches and positions.get(key := match_key(entry)):
                matches[index] = positions[key].popleft()
    matches |= _match_joined_texts(old, new, matches)
    return matches | _match_changed_texts(old, new, matches)


def _match_joined_texts(
    old: Sequence[Entry], new: Sequence[Entry], matches: Positions
) -> Positions:
    """Old entries whose text is a part of a new one nearby, as joined instructions are."""
    joined: Positions = {}
    if not new:
        return joined
    nearest, room = 0, SEARCH_ROOM
    for old_index, entry in enumerate(old):
        nearest = matches.get(old_index, nearest)
        if old_index in matches or not entry.compact_text or room < 0:
            continue
        for new_index in (0, *range(nearest, min(nearest + SEARCH_DISTANCE, len(new)))):
            room -= len(new[new_index].compact_text)
            if entry.compact_text in new[new_index].compact_text:
                joined[old_index] = new_index
                break
    return joined


def _match_changed_texts(
    old: Sequence[Entry], new: Sequence[Entry], matches: Positions
) -> Positions:
    """Old entries whose text changed, for example because a part was dropped.

    The new entry has the same category and stands between the same neighbours.
    """
    changed: Positions = {}
    positions = (matches.get(index, len(new)) for index in reversed(range(len(old))))
    next_matches = reversed(list(accumulate(positions, min)))
    used, previous = set(matches.values()), -1
    for old_index, (entry, next_match) in enumerate(zip(old, next_matches, strict=True)):
        if old_index in matches:
            previous = matches[old_index]
            continue
        for new_index in range(previous + 1, min(next_match, previous + 1 + SEARCH_DISTANCE)):
            new_entry = new[new_index]
            has_texts = entry.compact_text and new_entry.compact_text
            if has_texts and new_index not in used and new_entry.category == entry.category:
                changed[old_index] = previous = new_index
                break
    return changed


type MatchedGroup = tuple[list[Entry], list[Entry]]  # old and new; one of them may be empty


def group_matches(old: Sequence[Entry], new: Sequence[Entry]) -> Iterator[MatchedGroup]:
    """Each new entry with the old entries that became it, in the new order.

    An old entry without a match is a group of its own, before the next old entry that has one.
    """
    matches = match_entries(old, new)
    sources: dict[int, list[int]] = defaultdict(list)
    for old_index, new_index in matches.items():
        sources[new_index].append(old_index)
    unmatched = deque(index for index in range(len(old)) if index not in matches)
    for new_index, entry in enumerate(new):
        while unmatched and sources[new_index] and unmatched[0] < min(sources[new_index]):
            yield [old[unmatched.popleft()]], []
        yield [old[index] for index in sorted(sources[new_index])], [entry]
    yield from (([old[index]], []) for index in unmatched)
