"""An exchange as a case folder of tests/cases: the client's request and the provider's reply.

Placeholders replace secrets, persons and pictures; equal texts get equal placeholders.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from mitmproxy.exceptions import CommandError

from addons.ingress import ROUTE_KEY, SECRET, Route
from addons.observe import saved_record
from addons.replay.retranslate import (
    CannotRetranslate,
    RecordedExchange,
    indented_json,
    recorded_content,
)
from translate import (
    Envelope,
    SseEvent,
    decode_request,
    dump_json,
    is_event_stream,
    load_json,
    open_envelope,
    printable,
    referenced_keys,
    seal_envelope,
    split_events,
)

type Json = dict[str, Any]

# Codex's bookkeeping, which no translation reads.
BOOKKEEPING_FIELDS = frozenset({"client_metadata", "internal_chat_message_metadata_passthrough"})


# The files


def case_files(recorded: RecordedExchange) -> dict[str, bytes]:
    """The files of the case by name. Raises CommandError."""
    request, record = case_request(recorded), saved_record(recorded.client_flow)
    if record is None:
        raise CommandError("Its record is missing, or is no record of the relay's.")
    reply = recorded.upstream_flow.response
    if reply is None or reply.raw_content is None:
        raise CommandError("The provider has not answered: there is nothing to be a case.")
    try:
        content = recorded_content(reply)
    except CannotRetranslate as error:
        raise CommandError(f"The provider's reply is no case: {error}") from None
    anonymizer = Anonymizer(json.dumps(request, ensure_ascii=False), content)
    request["model"] = record["model"]
    files = {"request.json": (indented_json(anonymizer.hide_in_value(request)) + "\n").encode()}
    reply_body = anonymizer.hide_in_reply(content)
    if reply.status_code != 200:
        retry_after = shown_text(reply.headers.get("retry-after", ""), anonymizer)
        retry_line = f"Retry-After: {retry_after}\n" if retry_after else ""
        head = f"{reply.status_code}\n{retry_line}\n"
        files["reply.http"] = head.encode() + reply_body
    else:
        is_json = content.lstrip().startswith(b"{")
        files["reply.json" if is_json else "reply.sse"] = reply_body
    names = ("provider", "model", "status")
    provider, model, status = (shown_text(record[name], anonymizer) for name in names)
    note = f"Seen with {provider}, model `{model}`: {status}, {record['calls']} calls.\n"
    return {**files, "note.md": note.encode()}


def shown_text(text: str, anonymizer: "Anonymizer") -> str:
    """A name or a header of the capture, in one short line without secrets and backquotes."""
    return printable(anonymizer.hide_in_text(text).replace("`", "'"), 200)


def case_request(recorded: RecordedExchange) -> Json:
    """The client's request, if the tests of the cases can send it. Raises CommandError."""
    try:
        request = decode_request(recorded_content(recorded.client_flow.request))
    except (CannotRetranslate, ValueError) as error:
        raise CommandError(f"Its request cannot be read: {error}") from None
    if recorded.client_flow.metadata.get(ROUTE_KEY) == Route.COMPACT:
        raise CommandError("A case is of POST /responses, and this was of /responses/compact.")
    if request.get("previous_response_id") or referenced_keys(request, ""):
        raise CommandError("It continues a stored response, and a case has no earlier one.")
    cleaned_request: Json = _without_bookkeeping(request)
    return cleaned_request


def _without_bookkeeping(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_bookkeeping(item) for item in value]
    if isinstance(value, dict):
        return {
            name: _without_bookkeeping(item)
            for name, item in value.items()
            if name not in BOOKKEEPING_FIELDS
        }
    return value


# Hiding what is private

# One white pixel replaces every picture.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEA"
    "G7buVgAAAABJRU5ErkJggg=="
)
# The private texts beside secrets, by category.
PRIVATE_PATTERNS = {
    "picture": r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]+",
    "account": r"\b(?:org|user|acct|proj)[-_](?=[A-Za-z]*\d)[A-Za-z0-9]{8,}",
    "uuid": r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b",
    "email": r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+\b",
}


def join_patterns(patterns: dict[str, str]) -> re.Pattern[str]:
    """A pattern that matches any of these, with a named group for each category."""
    groups = (f"(?P<{category}>{pattern})" for category, pattern in patterns.items())
    return re.compile("|".join(groups), re.S)


PRIVATE = join_patterns(PRIVATE_PATTERNS)
# The placeholder by category; {} is the number of the hidden text in its category.
PLACEHOLDERS = {
    "picture": PIXEL,
    "private_key": "key{}",
    "secret": "token{}",
    "account": "account{}",
    "uuid": "00000000-0000-4000-8000-{:012}",
    "email": "person{}@example.com",
    "name": "person{}",
}
HOME_FOLDER = re.compile(r"[\\/](?:home|Users)[\\/]+([\w.-]+)")
SHARED_FOLDERS = frozenset({"Shared", "Public", "user"})
MAX_NAMES = 200  # of users in one case
PERSON_FIELDS = frozenset({"user", "safety_identifier"})  # they name the user of the client


class Anonymizer:
    """Replaces private texts by placeholders.

    The names of users are those of the home folders in the request and the reply.
    Raises CommandError if these are too many.
    """

    def __init__(self, request: str, reply: bytes) -> None:
        values = reply_values(reply)
        texts = [request, reply.decode("utf-8", "replace")]
        texts += [json.dumps(value, ensure_ascii=False) for value in values.values()]
        texts += ["".join(_pieces(holders)) for holders in growing_texts(values)]
        names = {name for text in texts for name in HOME_FOLDER.findall(text)} - SHARED_FOLDERS
        if len(names) > MAX_NAMES:  # the time of a search grows with them
            raise CommandError(
                f"It names {len(names)} home folders; a case has at most {MAX_NAMES}."
            )
        patterns = dict(PRIVATE_PATTERNS)
        if names:
            longest_first = sorted(names, key=lambda name: (-len(name), name))
            alternatives = "|".join(map(re.escape, longest_first))
            patterns["name"] = rf"(?<![A-Za-z0-9])(?:{alternatives})(?![A-Za-z0-9])"
        # Secrets first: another pattern must not take a part of one and leave the rest.
        self._patterns = (SECRET, join_patterns(patterns))
        self._placeholders: dict[str, str] = {}  # by the text that they replace
        self._used_placeholders: set[str] = set()
        self._counts = dict.fromkeys(PLACEHOLDERS, 0)

    def hide_in_text(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(self._replace_match, text)
        return text

    def _hide_in_field_name(self, name: str) -> str:
        """Users' names may stay: a user may be called like a field of the request."""
        for pattern in (SECRET, PRIVATE):
            name = pattern.sub(self._replace_match, name)
        return name

    def _replace_match(self, match: re.Match[str]) -> str:
        category = match.lastgroup
        if category is None:  # SECRET has no groups
            category = "private_key" if match[0].startswith("-----BEGIN") else "secret"
        return self._placeholder(match[0], category)

    def _placeholder(self, text: str, category: str) -> str:
        if text in self._used_placeholders:
            return text
        if text not in self._placeholders:
            self._counts[category] += 1
            placeholder = PLACEHOLDERS[category].format(self._counts[category])
            self._placeholders[text] = placeholder
            self._used_placeholders.add(placeholder)
        return self._placeholders[text]

    def hide_in_value(self, value: Any) -> Any:
        """A JSON value with placeholders in its texts, also in those of the relay's envelopes."""
        if isinstance(value, list):
            return [self.hide_in_value(item) for item in value]
        if isinstance(value, dict):
            fields = {
                self._hide_in_field_name(name): self.hide_in_value(item)
                for name, item in value.items()
            }
            return fields | {name: self._hide_person(value[name]) for name in person_fields(value)}
        if not isinstance(value, str):
            return value
        if envelope := open_envelope(value):
            payload = self.hide_in_value(envelope.payload)
            return seal_envelope(Envelope(envelope.provider_identity, envelope.model, payload))
        return self.hide_in_text(value)

    def _hide_person(self, person: str) -> str:
        hidden = self.hide_in_text(person)
        return hidden if hidden != person else self._placeholder(person, "name")

    def hide_in_reply(self, body: bytes) -> bytes:
        """The body of a reply with placeholders; an event without private texts keeps its bytes."""
        values = reply_values(body)
        original_values = {index: json.dumps(value) for index, value in values.items()}
        for holders in growing_texts(values):
            self._hide_in_pieces(holders)
        blocks, start = [], 0
        for index, event in enumerate(_reply_events(body)):
            block = body[start : event.end_offset]
            start = event.end_offset
            if index not in values:
                block = self._hide_in_bytes(block)
            elif json.dumps(value := self.hide_in_value(values[index])) != original_values[index]:
                block = block.replace(event.raw_block, self._event_block(event, value), 1)
            blocks.append(block)
        return b"".join([*blocks, body[start:]])

    def _hide_in_bytes(self, data: bytes) -> bytes:
        text = data.decode("utf-8", "surrogateescape")
        return self.hide_in_text(text).encode("utf-8", "surrogateescape")

    def _event_block(self, event: SseEvent, value: Any) -> bytes:
        """The lines of the event, with this value as its data."""
        data = dump_json(value)
        if event.data is None:
            return data
        lines = event.raw_block.splitlines()
        others = [self._hide_in_bytes(line) for line in lines if line.startswith(OTHER_SSE_FIELDS)]
        return b"\n".join([*others, b"data: " + data])

    def _hide_in_pieces(self, holders: "TextHolders") -> None:
        """Hide in a text that came in pieces.

        A placeholder goes into the piece in which the hidden text begins.
        """
        for pattern in self._patterns:
            pieces = _pieces(holders)
            new_pieces = self._replace_in_pieces(pattern, pieces)
            for (holder, field), text in zip(holders, new_pieces, strict=True):
                holder[field] = text

    def _replace_in_pieces(self, pattern: re.Pattern[str], pieces: list[str]) -> list[str]:
        """The pieces of a text without its matches. The placeholder of a match that spans several
        pieces is in the first of them."""
        new_pieces: list[list[str]] = [[] for _ in pieces]
        piece_ends = list(accumulate(map(len, pieces)))
        text, start, index = "".join(pieces), 0, 0
        for match in [*pattern.finditer(text), None]:
            end = match.start() if match else len(text)
            while start < end:
                cut = min(end, piece_ends[index])
                new_pieces[index].append(text[start:cut])
                start, index = cut, index + (cut == piece_ends[index])
            if match:
                index = bisect_right(piece_ends, end, lo=index)
                new_pieces[index].append(self._replace_match(match))
                start = match.end()
                index = bisect_right(piece_ends, start, lo=index)
        return ["".join(parts) for parts in new_pieces]


def person_fields(value: Json) -> list[str]:
    """The fields of an object with a person's name; in a tool's message, `name` is the tool's."""
    names = PERSON_FIELDS | ({"name"} if value.get("role") == "user" else set())
    return [
        name for name, text in value.items() if name in names and text and isinstance(text, str)
    ]


# The texts of a reply

# The fields whose text may come in pieces, in either dialect.
GROWING_FIELDS = frozenset(
    {"content", "refusal", "reasoning_content", "reasoning", "text", "summary", "arguments"}
    | {"input", "delta"}
)

OTHER_SSE_FIELDS = (b"event:", b"id:", b"retry:", b":")

type FieldPath = tuple[object, ...]
# For each piece of a text: the object that holds it, and the field there.
type TextHolders = list[tuple[Json, str]]


def _reply_events(body: bytes) -> Iterator[SseEvent]:
    """The events of a stream; any other body as one event."""
    if is_event_stream(body):
        yield from split_events(body)
    else:
        yield SseEvent(None, body.strip(b"\r\n"), len(body))


def reply_values(body: bytes) -> dict[int, Json]:
    """The JSON objects of a reply, by the index of their event."""
    values = {}
    for index, event in enumerate(_reply_events(body)):
        try:
            value = load_json(event.raw_block if event.data is None else event.data)
        except ValueError:
            continue
        if isinstance(value, dict):
            values[index] = value
    return values


def growing_texts(values: dict[int, Json]) -> list[TextHolders]:
    """The texts that come in pieces, and the objects that hold the pieces of each."""
    texts: dict[FieldPath, TextHolders] = {}
    for value in values.values():
        first_path = (str(value.get("type")), str(value.get("item_id")))
        for path, holder, field in _text_fields(value, first_path):
            texts.setdefault(path, []).append((holder, field))
    return list(texts.values())


def _text_fields(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Json, str]]:
    if isinstance(value, list):
        for position, item in enumerate(value):
            index = item.get("index", position) if isinstance(item, dict) else position
            yield from _text_fields(item, (*path, str(index)))
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in GROWING_FIELDS and isinstance(item, str):
                yield (*path, name), value, name
            else:
                yield from _text_fields(item, (*path, name))


def _pieces(holders: TextHolders) -> list[str]:
    return [holder[field] for holder, field in holders]
