"""Which entry of a request became which of the other: by call, by words, or by being part of it."""

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import accumulate

from addons.views.entry import Entry

NEAR = 4  # entries among which one is looked for that holds another's words
Key = Callable[[Entry], Hashable]
# The surest first; None: this says nothing.
KEYS: tuple[Key, ...] = (
    lambda entry: (entry.kind, entry.call, entry.words) if entry.call else None,
    lambda entry: (entry.kind, entry.call) if entry.call else None,
    lambda entry: (entry.kind, entry.words),
    lambda entry: entry.words or None,
)


def paired(before: Sequence[Entry], after: Sequence[Entry]) -> dict[int, int]:
    """Position before → position after, for those that were found again."""
    found: dict[int, int] = {}
    for key in KEYS:
        taken = set(found.values())
        waiting: dict[Hashable, deque[int]] = defaultdict(deque)
        for at, entry in enumerate(after):
            if at not in taken and (said := key(entry)) is not None:
                waiting[said].append(at)
        for at, entry in enumerate(before):
            if at not in found and waiting.get(said := key(entry)):
                found[at] = waiting[said].popleft()
    found |= parts(before, after, found)
    return found | changed(before, after, found)


def parts(before: Sequence[Entry], after: Sequence[Entry], found: dict[int, int]) -> dict[int, int]:
    """Those whose words are a part of another's close by, as of joined instructions."""
    more: dict[int, int] = {}
    near = 0
    for at, entry in enumerate(before):
        near = found.get(at, near)
        if at in found or not entry.words:
            continue
        places = (to for to in (0, *range(near, near + NEAR)) if to < len(after))
        place = next((to for to in places if entry.words in after[to].words), None)
        if place is not None:
            more[at] = place
    return more


def changed(
    before: Sequence[Entry], after: Sequence[Entry], found: dict[int, int]
) -> dict[int, int]:
    """Those whose words are others now, as without a part: of one kind, between the same two."""
    more: dict[int, int] = {}
    ends = list(accumulate((found.get(at, len(after)) for at in reversed(range(len(before)))), min))
    taken, low = set(found.values()), -1
    for at, (entry, high) in enumerate(zip(before, reversed(ends), strict=True)):
        if at in found:
            low = found[at]
            continue
        near = range(low + 1, min(high, low + 1 + NEAR))
        same = (to for to in near if to not in taken and after[to].kind == entry.kind)
        place = next((to for to in same if entry.words and after[to].words), None)
        if place is not None:
            more[at] = low = place
    return more


type Group = tuple[list[Entry], list[Entry]]


def groups(before: Sequence[Entry], after: Sequence[Entry]) -> Iterator[Group]:
    """What became what, in the order after; what became nothing where it was."""
    found = paired(before, after)
    sources: dict[int, list[int]] = defaultdict(list)
    for old, new in found.items():
        sources[new].append(old)
    lost = deque(at for at in range(len(before)) if at not in found)
    for new, entry in enumerate(after):
        while lost and sources[new] and lost[0] < min(sources[new]):
            yield [before[lost.popleft()]], []
        yield [before[old] for old in sorted(sources[new])], [entry]
    yield from (([before[at]], []) for at in lost)
