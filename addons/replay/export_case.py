"""Takes persons and secrets out of a conversation; the same one becomes the same placeholder."""

import json
import re
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

from translate import Envelope, seal, unseal

# One white pixel, for any picture.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEA"
    "G7buVgAAAABJRU5ErkJggg=="
)
FORMS = {  # what is replaced, and by what: a number stands for which one it was
    "picture": (r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]+", PIXEL.replace("{", "{{")),
    "key": (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", "key{}"),
    "token": (
        r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*|(?<=Bearer )[^\s\"'\\]{8,}|\bgAAAA[\w=-]{40,}"
        r"|\b(?:sk|rk|gsk|hf|gh[pousr]|github_pat|glpat|xox[abprs]|xai)[-_][\w-]{8,}"
        r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}",
        "token{}",
    ),
    "account": (r"\b(?:org|user|acct|proj)[-_](?=[A-Za-z]*\d)[A-Za-z0-9]{8,}", "account{}"),
    "uuid": (
        r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
        "00000000-0000-4000-8000-{:012}",
    ),
    "mail": (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", "person{}@example.com"),
}
HOME = re.compile(r"[\\/](?:home|Users)[\\/]+([\w.-]+)")
NOBODY = frozenset({"Shared", "Public", "user"})
# Where a text comes in pieces, in either dialect.
SPOKEN = frozenset(
    {"content", "refusal", "reasoning_content", "reasoning", "text", "summary", "arguments"}
    | {"input", "delta"}
)
PERSONS = frozenset({"user", "safety_identifier"})  # fields that say who asks

type Lane = list[tuple[dict[str, Any], str]]  # where its pieces stand


class Scrub:
    def __init__(self, request: str, reply: bytes) -> None:
        texts = [request, *("".join(pieces(lane)) for lane in lanes(events(reply)).values())]
        texts.append(reply.decode("utf-8", "replace"))
        names = {name for text in texts for name in HOME.findall(text)} - NOBODY
        forms = {name: pattern for name, (pattern, _) in FORMS.items()}
        if names:
            longest = sorted(names, key=lambda name: (-len(name), name))
            forms["name"] = (
                rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, longest))})(?![A-Za-z0-9])"
            )
        self._pattern = re.compile("|".join(f"(?P<{k}>{v})" for k, v in forms.items()), re.S)
        self._made: dict[str, str] = {}
        self._counts = dict.fromkeys([*forms, "name"], 0)

    def text(self, text: str) -> str:
        return self._pattern.sub(self._placeholder, text)

    def _placeholder(self, found: re.Match[str]) -> str:
        return self._hidden(found[0], str(found.lastgroup))

    def _hidden(self, what: str, kind: str) -> str:
        if what in self._made.values():
            return what
        if what not in self._made:
            self._counts[kind] += 1
            form = FORMS[kind][1] if kind in FORMS else "person{}"
            self._made[what] = form.format(self._counts[kind])
        return self._made[what]

    def value(self, value: Any) -> Any:
        """All texts of a JSON value; what we sealed is opened for it."""
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            made = {name: self.value(one) for name, one in value.items()}
            return made | {name: self._person(value[name]) for name in persons(value)}
        if not isinstance(value, str):
            return value
        if sealed := unseal(value):
            return seal(Envelope(sealed.provider, sealed.model, self.value(sealed.state)))
        return self.text(value)

    def _person(self, who: str) -> str:
        hidden = self.text(who)
        return hidden if hidden != who else self._hidden(who, "name")

    def reply(self, data: bytes) -> bytes:
        """A reply's bytes: what has nothing to hide stays as it came, to the byte."""
        found = events(data)
        before = {at: json.dumps(event) for at, event in found.items()}
        for lane in lanes(found).values():
            self._pieces(lane)
        rows = data.split(b"\n")
        for at, row in enumerate(rows):
            if at not in found:
                rows[at] = self.text(row.decode("utf-8", "surrogateescape")).encode(
                    "utf-8", "surrogateescape"
                )
            elif json.dumps(event := self.value(found[at])) != before[at]:
                head = b"data: " if row.startswith(b"data:") else b""
                rows[at] = head + json.dumps(event, ensure_ascii=False).encode()
        return b"\n".join(rows)

    def _pieces(self, lane: Lane) -> None:
        """A text that comes in pieces: a placeholder stands in the piece where its text began."""
        old = pieces(lane)
        new = [""] * len(old)
        spans = list(pairwise(accumulate(map(len, old), initial=0)))
        at, joined = 0, "".join(old)
        for found in [*self._pattern.finditer(joined), None]:
            end = found.start() if found else len(joined)
            for number, (start, stop) in enumerate(spans):
                new[number] += joined[max(start, at) : min(stop, end)] if start < end else ""
                if found and start <= end < stop:
                    new[number] += self._placeholder(found)
            at = found.end() if found else end
        for (holder, field), text in zip(lane, new, strict=True):
            holder[field] = text


def persons(value: dict[str, Any]) -> list[str]:
    """The fields of an object that name a person; a tool's message has the tool's name."""
    named = PERSONS | ({"name"} if value.get("role") == "user" else set())
    return [name for name, who in value.items() if name in named and who and isinstance(who, str)]


def events(data: bytes) -> dict[int, Any]:
    """The JSON objects of a stream by their lines; one line may be a whole body."""
    found = {}
    for at, row in enumerate(data.split(b"\n")):
        try:
            value = json.loads(row.removeprefix(b"data:"))
        except ValueError:
            continue
        if isinstance(value, dict):
            found[at] = value
    return found


def lanes(found: dict[int, Any]) -> dict[tuple[object, ...], Lane]:
    """The texts that grow from event to event."""
    made: dict[tuple[object, ...], Lane] = {}
    for event in found.values():
        for place, holder, field in spoken(event, (event.get("type"), event.get("item_id"))):
            made.setdefault(place, []).append((holder, field))
    return made


def spoken(
    value: Any, place: tuple[object, ...]
) -> Iterator[tuple[tuple[object, ...], dict[str, Any], str]]:
    if isinstance(value, list):
        for number, one in enumerate(value):
            index = one.get("index", number) if isinstance(one, dict) else number
            yield from spoken(one, (*place, index))
    elif isinstance(value, dict):
        for name, one in value.items():
            if name in SPOKEN and isinstance(one, str):
                yield (*place, name), value, name
            else:
                yield from spoken(one, (*place, name))


def pieces(lane: Lane) -> list[str]:
    return [holder[field] for holder, field in lane]
