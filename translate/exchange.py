"""The exchange: one request and its reply, whichever dialects meet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from translate import dialects as chat_to_chat
from translate.clients import CLIENTS, Client
from translate.mappings import parameters, reasoning
from translate.mappings.omit import omit
from translate.providers.model_names import Variant
from translate.providers.profile import Dialect, Provider
from translate.reply.chat_to_responses import ChatToResponses
from translate.reply.event_writer import Event, Machine
from translate.reply.responses_to_chat import ResponsesToChat
from translate.reply.responses_to_responses import ResponsesToResponses
from translate.request import responses_to_chat as request
from translate.request import responses_to_responses as repair
from translate.request.chat_to_responses import Asked
from translate.request.conversation import NO_OUTPUT
from translate.state import compaction, session
from translate.state.compaction import ToCompaction
from translate.state.stored_response import ENDINGS, Kept
from translate.tools.tool_map import ToolMap
from translate.upward import upward
from translate.wire import codec, sse
from translate.wire import requests as responses
from translate.wire.errors import ADVICE, BadRequest, Failure, failure, no_previous

LIMITS = "codex.rate_limits"  # an event of a ChatGPT account's


@dataclass(frozen=True)
class Reply:
    """A whole answer: as an HTTP response, and as stream events when the head is out already."""

    status: int
    headers: dict[str, str]
    body: bytes
    event: bytes


def decode(body: bytes) -> dict[str, Any]:
    """A request body. Raises BadRequest unless it is a JSON object."""
    try:
        decoded = codec.loads(body)
    except ValueError as error:
        raise BadRequest(f"The request body is not JSON: {error}") from None
    if not isinstance(decoded, dict):
        raise BadRequest("The request body must be a JSON object")
    return decoded


@dataclass(frozen=True)
class Way:
    """Where a request goes, and what is known beside it."""

    provider: Provider
    model: str  # as the provider calls it
    id: str  # of the response: `resp_…`
    now: int  # Unix seconds
    lost: Sequence[str] = ()  # what was taken off the request before, to be reported with the rest
    history: Sequence[dict[str, Any]] | None = None  # the items behind `previous_response_id`
    keep: Callable[[Kept], None] | None = None  # takes the response before its end is handed out
    heard: Callable[[dict[str, Any]], None] | None = None  # the same, stored or not
    clock: Callable[[], int] | None = None  # Unix seconds at the end
    variant: Variant | None = None  # what the client's name for the model asks for
    instructions: str = ""  # where a client gives none; else the provider's


class Crossing(NamedTuple):
    """How two dialects meet: the request's body on the way up, the reply on the way down."""

    body: Callable[[responses.ResponsesRequest, Provider, str, ToolMap, int], dict[str, Any]]
    machine: Callable[..., Machine]


CROSSINGS: dict[tuple[Dialect, Dialect], Crossing] = {  # client, upstream
    ("responses", "chat"): Crossing(request.to_chat, ChatToResponses),
    ("responses", "responses"): Crossing(repair.to_responses, ResponsesToResponses),
    ("chat", "responses"): Crossing(repair.to_responses, ResponsesToChat),
    ("chat", "chat"): Crossing(chat_to_chat.to_chat, chat_to_chat.Machine),
}


# What a conversation is written down by: Chat is what its readers know.
WRITTEN: dict[Dialect, dict[str, Any]] = {
    "chat": {},
    "responses": {"dialect": "chat", "reasoning_back": "reasoning_content"},
}


def exchange(body: dict[str, Any], *, client: Dialect, way: Way) -> "Exchange":
    """Carry a decoded request over. Raises BadRequest, with the field's place, for what cannot be
    carried over."""
    return _made(Exchange, body, client, way)


def compact(body: dict[str, Any], *, client: Dialect, way: Way) -> "Exchange":
    """The same for `POST …/responses/compact`: a long input in, a shorter one out; no stream."""
    return _made(Compact, {**body, "input": body.get("input") or []}, client, way)


def _made(form: type["Exchange"], body: dict[str, Any], client: Dialect, way: Way) -> "Exchange":
    provider = way.provider.of(way.model)
    crossing, wire = CROSSINGS[client, provider.dialect], CLIENTS[client]
    try:
        if way.instructions and provider.instructions:
            provider = provider.model_copy(update={"instructions": way.instructions})
        return form(wire.read(body), replace(way, provider=provider), crossing, wire)
    except RecursionError:
        raise BadRequest("The request is nested too deeply") from None


class Exchange:
    """A client and its upstream."""

    keeps = True  # what it answers is a response

    def __init__(self, read: Asked, way: Way, crossing: Crossing, client: Client) -> None:
        asked = read.request
        provider, model = way.provider, way.model
        if asked.previous_response_id and way.history is None:
            raise no_previous(asked.previous_response_id)
        if asked.background:
            why = "background: the relay runs no responses in the background"
            raise BadRequest(why, param="background")
        self.provider = provider
        self.model = model
        self.asked = asked.model
        self.streaming = bool(asked.stream)
        self.dropped = [*way.lost, *read.dropped]
        self._client = client
        self._clock = way.clock
        self._heard = way.heard
        self._keep = way.keep if self.keeps and asked.store is not False else None
        self._input = [item for item in asked.items if item.get("type") != compaction.TRIGGER]
        stored = {"store": None} if self._keep else {}  # is done; else it may be reported as lost
        before = way.history or ()
        items = [*before, *asked.items]
        asked = asked.model_copy(update={"input": items, **stored})
        self._asked = asked
        self.session = session.session(asked)
        self.limits: dict[str, Any] | None = None
        asked, more = upward(read, asked, provider, way.variant, self.session)
        tools = ToolMap(self.dropped, provider)
        body = _carried(read.said, crossing, asked, provider, model, tools, len(before))
        self.dropped[:] = map(read.said, self.dropped)
        machine: Callable[..., Machine] = partial(crossing.machine, **more)
        if compaction.triggered(asked.items):
            body = compaction.to_summary(body, provider, self.dropped)
            omit(body, provider, [])
            machine = partial(ToCompaction, hears=machine)
        self.body = codec.dumps(body)
        self.headers = parameters.headers(asked, provider)
        self.headers |= session.headers(self.session, provider)
        empty = responses.skeleton(self._asked, way.id, way.now, store=bool(self._keep))
        self._machine = machine(empty, tools=tools, provider=provider, model=model, sent=self.body)
        self._reader = sse.Reader()

    def feed(self, data: bytes) -> bytes:
        """Upstream bytes in, client bytes out; b"" in means that the upstream ended. Total."""
        return self._wire(self._events(data))

    def whole(self, data: bytes) -> Reply:
        """The reply for a client that asked for no stream, from the upstream's whole body."""
        events = self._events(data) + self._events(b"")
        if why := self._machine.failure:
            return Reply(why.status, why.headers, why.body, b"")
        headers = {"content-type": "application/json"}
        return Reply(200, headers, codec.dumps(self._answer(events)), b"")

    def _answer(self, events: list[Event]) -> dict[str, Any]:
        """What a client that asked for no stream gets."""
        return self._client.answer(events)

    @property
    def response(self) -> dict[str, Any]:
        """The response so far; its `status` tells whether it has ended."""
        return self._machine.response

    def conversation(self) -> dict[str, Any] | None:
        """Request and reply as one Chat conversation; None for a summary, which is no turn, and
        where the model neither said nor called anything."""
        asked = self._asked
        if compaction.triggered(asked.items):
            return None
        items = [*asked.items, *self.response["output"]]
        provider = self.provider.model_copy(update=WRITTEN[self.provider.dialect])
        told = asked.model_copy(update={"input": items})
        body = request.to_chat(told, provider, self.model, ToolMap([], provider))
        while body["messages"][-1].get("content") == NO_OUTPUT:  # of calls that are still to run
            body["messages"].pop()
        if body["messages"][-1]["role"] != "assistant":
            return None
        body["messages"] = [reasoning.unblank(one, provider) for one in body["messages"]]
        return {name: body[name] for name in ("messages", "tools") if name in body}

    def heartbeat(self) -> bytes:
        """An event that keeps a streaming client from giving up; b"" for any other."""
        return self._wire(self._machine.heartbeat()) if self.streaming else b""

    def fail(self, status: int, body: bytes, retry_after: str | None) -> Reply:
        """The upstream's error reply in the client's dialect."""
        advice = ADVICE[self.provider.accounts]
        return self._failed(failure(self.provider.title, status, body, retry_after, advice))

    def cut(self, reason: str) -> bytes:
        """The events that end a stream whose upstream died; b"" if it had ended."""
        events = self._machine.lost(self._lost(reason))
        self._ended()
        return self._wire(events)

    def unreachable(self, reason: str) -> Reply:
        """The upstream could not be reached at all."""
        return self._failed(self._lost(reason))

    def _lost(self, reason: str) -> Failure:
        return Failure(502, "server_error", f"{self.provider.title} was lost: {reason}")

    def _failed(self, why: Failure) -> Reply:
        event = self._wire(self._machine.fail(why))
        if self.streaming and why.code in self._client.in_stream:
            return Reply(200, {"content-type": "text/event-stream"}, event, event)
        return Reply(why.status, why.headers, why.body, event)

    def _wire(self, events: list[Event]) -> bytes:
        whole = events and self._machine.ended and not self._machine.failure
        return b"".join([*map(self._client.event, events), self._client.last if whole else b""])

    def _events(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        try:
            for piece in self._reader.feed(data) if data else self._reader.flush():
                events += self._read(piece)
            events += [] if data else self._machine.close()
        except Exception as error:  # a bug, or a reply beyond sense: the turn must end all the same
            what = f"{self.provider.title} sent what cannot be understood: {error}"
            events += self._machine.fail(Failure(502, "server_error", what))
        self._ended()
        return events

    def _ended(self) -> None:
        """Whoever has seen the end of a response may go on from it at once."""
        response = self._machine.response
        if response["status"] == "completed" and response["completed_at"] is None and self._clock:
            response["completed_at"] = self._clock()
        if response["status"] in ENDINGS:
            keep, self._keep = self._keep, None
            heard, self._heard = self._heard, None
            if keep:
                keep(Kept(self._input, response))
            if heard:
                heard(response)

    def _read(self, piece: bytes) -> list[Event]:
        if piece.strip() == sse.DONE:
            return self._machine.done()
        found = codec.loads(piece) if piece.strip() else None
        chunks = found if isinstance(found, list) else [found]  # Gemini puts errors in a list
        events: list[Event] = []
        for one in chunks:
            if isinstance(one, dict):
                self.limits = one if one.get("type") == LIMITS else self.limits
                events += self._machine.feed(one)
        return events


class Compact(Exchange):
    """`POST …/responses/compact`: an exchange whose input ends with a trigger, in another form."""

    keeps = False

    def __init__(self, read: Asked, way: Way, crossing: Crossing, client: Client) -> None:
        asked = read.request
        self._items = [*(way.history or ()), *asked.items]
        trigger = [] if compaction.triggered(asked.items) else [{"type": compaction.TRIGGER}]
        more = {"input": [*asked.items, *trigger], "stream": False}
        read = read._replace(request=asked.model_copy(update=more))
        super().__init__(read, way, crossing, client)

    def _answer(self, events: list[Event]) -> dict[str, Any]:
        made = self._machine.response
        return compaction.to_compacted(made, self._items, self.provider, self.dropped)


def _carried(said: Callable[[str], str], crossing: Crossing, *request: Any) -> dict[str, Any]:
    """The body to send. Raises BadRequest in the client's own words."""
    try:
        return crossing.body(*request)
    except BadRequest as error:
        place = error.param or ""
        message = error.message.replace(place, said(place), 1)
        raise BadRequest(message, param=said(place) or None, code=error.code) from None
