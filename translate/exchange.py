"""The exchange: one request and its reply, whichever dialects meet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from translate.dialects import (
    CLIENT_DIALECTS,
    ChatToChat,
    ClientDialect,
    chat_request_to_chat,
)
from translate.mappings import parameters
from translate.mappings.outcome import SentRequest
from translate.mappings.parameters import omit_fields
from translate.mappings.stop_sequences import check_stops, is_cut_here
from translate.providers.model_names import ModelVariant, variant_fields
from translate.providers.profile import Dialect, Provider
from translate.reply.chat_to_responses import ChatToResponses
from translate.reply.event_writer import Event, ReplyMachine
from translate.reply.reply_reader import DONE_MARK, ReplyReader
from translate.reply.responses_to_chat import ResponsesToChat
from translate.reply.responses_to_responses import ResponsesToResponses
from translate.request.chat_conversation import conversation_to_chat
from translate.request.chat_to_responses import ParsedRequest
from translate.request.request_size import check_request_size
from translate.request.responses_to_chat import request_to_chat
from translate.request.responses_to_responses import request_to_responses
from translate.state import compaction, session
from translate.state.item_reference import check_references
from translate.state.stored_response import STORED_STATUSES, StoredResponse
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.errors import (
    BadRequest,
    Failure,
    RequestTooLarge,
    previous_response_missing,
    read_connection_failure,
    read_failure,
)
from translate.wire.json_steps import (
    LARGE_JSON,
    TooManyValues,
    dump_json_in_steps,
    load_json_in_steps,
)
from translate.wire.limits import DEFAULT_LIMITS, Limits
from translate.wire.requests import (
    ResponsesRequest,
    empty_response,
    validate_responses_request,
)

Json = dict[str, Any]
RATE_LIMITS_EVENT = "codex.rate_limits"  # only upstreams with ChatGPT accounts send it
# Events of ChatGPT's backend that only Codex knows; openai-node's `responses.stream()` throws.
CODEX_EVENTS = ("codex.", "responsesapi.", "response.metadata")


@dataclass(frozen=True)
class WholeReply:
    """A reply as one HTTP response; `stream_events` are for a stream that has begun already."""

    status: int
    headers: dict[str, str]
    body: bytes
    stream_events: bytes


def decode_request(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Json:
    """A request body. Raises BadRequest unless it is a JSON object, RequestTooLarge for nesting and
    for the number of its values."""
    try:
        request = load_json_in_steps(body, limits.value_count)
        codec.check_nesting(request, limits.nesting)
    except (codec.NestedTooDeeply, TooManyValues) as error:
        raise RequestTooLarge(f"The request body is too large: its {error}") from None
    except ValueError as error:
        raise BadRequest(f"The request body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise BadRequest("The request body must be a JSON object")
    return request


@dataclass(frozen=True)
class ExchangeContext:
    """Where a request goes, and what else its translation depends on."""

    provider: Provider
    model: str  # as the provider calls it
    response_id: str  # `resp_…`
    created_at: int  # Unix seconds
    dropped: Sequence[str] = ()  # what the relay dropped from the request before its translation
    history: Sequence[Json] | None = None  # the items behind `previous_response_id`
    request_size: int = 0  # about how many bytes of JSON; a large request is written in steps
    # Both are called once, before the client gets the end of the response: the first with one that
    # the relay is to store, the second with any.
    store_response: Callable[[StoredResponse], None] | None = None
    on_response_end: Callable[[Json], None] | None = None
    clock: Callable[[], int] | None = None  # Unix seconds, for `completed_at`
    variant: ModelVariant | None = None  # settings that the client's name for the model implies
    default_instructions: str = ""  # in place of the provider's, for a request without any
    limits: Limits = Limits()  # of the request and the reply
    advise: Callable[[int], str] | None = None  # what the user can do about a reply's status
    from_codex: bool = True  # else the client gets the upstream's own 401, 403, 404 and 422


# Request, provider, model, tools, number of stored items → the body, and what was dropped.
ConvertRequest = Callable[[ResponsesRequest, Provider, str, ToolMap, int], tuple[Json, list[str]]]


class Crossing(NamedTuple):
    """How the relay translates between two dialects: the request, and the reply."""

    convert_request: ConvertRequest
    new_machine: Callable[..., ReplyMachine]


CROSSINGS: dict[tuple[Dialect, Dialect], Crossing] = {  # client, upstream
    ("responses", "chat"): Crossing(request_to_chat, ChatToResponses),
    ("responses", "responses"): Crossing(request_to_responses, ResponsesToResponses),
    ("chat", "responses"): Crossing(request_to_responses, ResponsesToChat),
    ("chat", "chat"): Crossing(chat_request_to_chat, ChatToChat),
}


def start_exchange(body: Json, *, client: Dialect, context: ExchangeContext) -> "Exchange":
    """Translate a decoded request.

    Raises BadRequest, with the path of the field, for a request that cannot be translated.
    """
    return _create_exchange(Exchange, body, client, context)


def estimate_input_tokens(body: Json, history: Sequence[Json] | None) -> int:
    """The estimated input tokens of a request for a response, in which any field may be missing.

    `history`: the items behind its `previous_response_id`. Raises BadRequest.
    """
    fields = {"model": body.get("model") or "", "input": body.get("input") or []}
    request = validate_responses_request({**body, **fields})
    _check_supported(request, history)
    counted_fields = {
        "input": [*(history or ()), *request.input_items],
        "instructions": request.instructions,
        "tools": request.tools or [],
    }
    data = dump_json_in_steps(counted_fields)
    return _measure_request(data, counted_fields, is_large=len(data) > LARGE_JSON).prompt_tokens


def _measure_request(data: bytes, fields: Json, *, is_large: bool) -> SentRequest:
    """`data`: the JSON of these fields, whose tokens are counted at once if it is large."""
    return SentRequest.count_large(data, fields) if is_large else SentRequest(data)


def start_compact_exchange(body: Json, *, client: Dialect, context: ExchangeContext) -> "Exchange":
    """As `start_exchange`, for `POST …/responses/compact`: a long input in, a shorter one out."""
    body = {**body, "input": body.get("input") or []}
    return _create_exchange(CompactExchange, body, client, context)


def _create_exchange(
    exchange_type: type["Exchange"], body: Json, client: Dialect, context: ExchangeContext
) -> "Exchange":
    provider = context.provider.for_model(context.model)
    dialect = CLIENT_DIALECTS[client]
    check_request_size(body, len(context.history or ()), context.limits)
    try:
        if context.default_instructions and provider.instructions:
            provider = provider.model_copy(update={"instructions": context.default_instructions})
        context = replace(context, provider=provider)
        crossing = CROSSINGS[client, provider.dialect]
        return exchange_type(dialect.parse_request(body), context, crossing, dialect)
    except RecursionError:
        raise BadRequest("The request is nested too deeply") from None


class Exchange:
    """One request and its reply. `body` and `headers` go upstream; `feed` takes what comes back."""

    stores_response = True  # false if the client's reply is not a response

    def __init__(
        self,
        parsed: ParsedRequest,
        context: ExchangeContext,
        crossing: Crossing,
        client: ClientDialect,
    ) -> None:
        request = parsed.request
        _check_supported(request, context.history)
        self.provider = context.provider
        self.model = context.model
        self.requested_model = request.model
        self.streaming = bool(request.stream)
        self.output_started = False  # whether the client got any text, reasoning or call
        self.rate_limits: Json | None = None  # the latest event on the limits of an account
        self._client = client
        self._clock = context.clock
        self.from_codex: bool = context.from_codex
        self.advice = ""  # what `advise` has said of the upstream's error reply
        self._advise = context.advise
        self._on_response_end = context.on_response_end
        stores = self.stores_response and request.store is not False
        self._store_response = context.store_response if stores else None
        self._own_items = [item for item in request.input_items if not _is_trigger(item)]
        self._request = _with_history(request, context, stores=bool(self._store_response))
        self.session_key = session.request_session_key(self._request)
        tools = ToolMap(self.provider)
        new_machine = self._translate_request(parsed, context, crossing, tools)
        response = empty_response(
            self._request, context.response_id, context.created_at, store=bool(self._store_response)
        )
        self._machine = new_machine(
            response, tools=tools, provider=self.provider, model=self.model, request_body=self._sent
        )
        self._reader = ReplyReader(context.limits)

    def _translate_request(
        self,
        parsed: ParsedRequest,
        context: ExchangeContext,
        crossing: Crossing,
        tools: ToolMap,
    ) -> Callable[..., ReplyMachine]:
        """Set `body`, `headers` and `_dropped`; returns the factory of the reply machine."""
        request, stop_options = self._add_settings(parsed, context.variant)
        stored_count = len(context.history or ())
        body, dropped = _convert_request(
            parsed, crossing, request, self.provider, self.model, tools, stored_count
        )
        self._dropped = [*context.dropped, *parsed.dropped, *map(parsed.client_path, dropped)]
        options = parsed.reply_options | stop_options
        new_machine: Callable[..., ReplyMachine] = partial(crossing.new_machine, **options)
        if compaction.asks_for_compaction(request.input_items):
            body, dropped = compaction.to_summary_request(body, self.provider)
            omit_fields(body, self.provider)
            self._dropped += dropped
            new_machine = partial(compaction.ToCompaction, new_inner_machine=new_machine)
        is_large = context.request_size > LARGE_JSON
        self.body = dump_json_in_steps(body) if is_large else codec.dump_json(body)
        self._sent = _measure_request(self.body, body, is_large=is_large)
        self.headers = parameters.parameter_headers(request, self.provider)
        self.headers |= session.session_headers(self.session_key, self.provider)
        return new_machine

    def _add_settings(
        self, parsed: ParsedRequest, variant: ModelVariant | None
    ) -> tuple[ResponsesRequest, Json]:
        """The request with the fields that the relay adds for this provider, and machine options.

        Where the provider has no stop sequences, the machine cuts the text.
        """
        fields = session.session_field(self.session_key, self.provider)
        fields |= variant_fields(self._request, variant)
        options: Json = {}
        if is_cut_here(parsed.stop_sequences, self.provider):
            check_stops(parsed.stop_sequences)
            fields |= {"stop": None}
            options = {"stops": parsed.stop_sequences}
        return self._request.model_copy(update=fields), options

    @property
    def unstreamed_body(self) -> bytes:
        """The body of the same request for a reply in one piece, which `feed` takes as well."""
        body = load_json_in_steps(self.body)
        body.pop("stream_options", None)
        return dump_json_in_steps({**body, "stream": False})

    @property
    def dropped(self) -> list[str]:
        """What the upstream or the client did not get, in the client's own terms."""
        return [*self._dropped, *self._machine.dropped]

    @property
    def response(self) -> Json:
        """The response so far; its `status` says whether it has ended."""
        return self._machine.response

    @property
    def is_finished(self) -> bool:
        """Whether the client has the end of its reply: the rest of the upstream's is ignored."""
        return self._machine.outcome is not None

    def feed(self, data: bytes) -> bytes:
        """Upstream bytes in, client bytes out; b"" in means that the upstream ended. Total."""
        return self._encode_events(self._read_events(data))

    def whole_reply(self, data: bytes) -> WholeReply:
        """The reply for a client that does not stream, from the upstream's whole body."""
        events = self._read_events(data) + self._read_events(b"")
        if failure := self._machine.failure:
            failure = failure.for_client(self.from_codex)
            return WholeReply(failure.status, failure.headers, failure.body, b"")
        try:
            body = codec.dump_json(self._whole_body(events))
        except Exception as error:
            failure = self._unreadable(error)
            return WholeReply(failure.status, failure.headers, failure.body, b"")
        return WholeReply(200, {"content-type": "application/json"}, body, b"")

    def _whole_body(self, events: list[Event]) -> Json:
        return self._client.whole_body(events)

    def chat_conversation(self) -> Json | None:
        """Request and reply as one Chat conversation; None if they make none."""
        output = self.response["output"]
        return conversation_to_chat(self._request, output, self.provider, self.model)

    def heartbeat(self) -> bytes:
        """An event that keeps a streaming client from giving up; b"" for any other client."""
        if not self.streaming:
            return b""
        return self._encode_events(self._run_machine(self._machine.heartbeat_events))

    def error_reply(
        self, status: int, body: bytes, retry_after: str | None, location: str | None = None
    ) -> WholeReply:
        """The upstream's error reply in the client's dialect; `location`: where it redirects to."""
        self.advice = self._advise(status) if self._advise else ""
        failure = read_failure(
            self.provider.title,
            status,
            body,
            retry_after,
            location=location,
            accounts=self.provider.accounts,
            advice=self.advice,
        )
        return self._failed_reply(failure.for_client(self.from_codex))

    def unreachable_reply(self, reason: str) -> WholeReply:
        """The reply if the upstream could not be reached at all."""
        return self._failed_reply(self._connection_failure(reason))

    def interrupt(self, reason: str) -> bytes:
        """The events that end a stream whose upstream died; b"" if it had ended."""
        failure = self._connection_failure(reason)
        events: list[Event] = []
        for chunk in self._reader.flush_delta():
            events += self._run_machine(partial(self._feed_machine, chunk))
        events += self._run_machine(partial(self._machine.lose_connection, failure))
        self._report_end()
        return self._encode_events(events)

    def _connection_failure(self, reason: str) -> Failure:
        return read_connection_failure(self.provider.title, reason).for_client(self.from_codex)

    def _failed_reply(self, failure: Failure) -> WholeReply:
        event = self._encode_events(self._machine.fail(failure))
        codex_codes, other_codes = self._client.stream_only_codes
        codes = codex_codes if self.from_codex else other_codes
        if self.streaming and failure.code in codes:
            return WholeReply(200, {"content-type": "text/event-stream"}, event, event)
        return WholeReply(failure.status, failure.headers, failure.body, event)

    def _encode_events(self, events: list[Event]) -> bytes:
        if not self.output_started:
            self.output_started = any(map(self._client.has_output, events))
        has_succeeded = events and self._machine.outcome and not self._machine.failure
        end = self._client.stream_end if has_succeeded else b""
        return b"".join([*map(self._client.encode_event, events), end])

    def _read_events(self, data: bytes) -> list[Event]:
        """The events for these bytes; what follows the end of the reply is discarded unread."""
        events: list[Event] = []
        if self.is_finished:
            return events
        try:
            for chunk in self._reader.feed(data) if data else self._reader.flush():
                events += self._feed_machine(chunk)
            events += [] if data else self._machine.close()
        except Exception as error:  # the reply must end, whatever the upstream sent
            events += self._machine.fail(self._unreadable(error))
        self._report_end()
        return events

    def _run_machine(self, step: Callable[[], list[Event]]) -> list[Event]:
        """The events of a step; whatever fails in it ends the reply as failed."""
        try:
            return step()
        except Exception as error:
            return self._machine.fail(self._unreadable(error))

    def _unreadable(self, error: Exception) -> Failure:
        message = f"{self.provider.title} sent what cannot be understood: {error}"
        return Failure(502, "server_error", message)

    def _feed_machine(self, chunk: Json) -> list[Event]:
        if chunk is DONE_MARK:
            return self._machine.mark_done()
        if chunk.get("type") == RATE_LIMITS_EVENT:
            self.rate_limits = chunk
        if not self.from_codex and str(chunk.get("type")).startswith(CODEX_EVENTS):
            return []
        return self._machine.feed(chunk)

    def _report_end(self) -> None:
        """Report a finished response, once, and before the client sees its end.

        A client may continue from a response as soon as it sees the end.
        """
        response = self._machine.response
        if response["status"] == "completed" and response["completed_at"] is None and self._clock:
            response["completed_at"] = self._clock()
        if response["status"] in STORED_STATUSES:
            store, self._store_response = self._store_response, None
            report, self._on_response_end = self._on_response_end, None
            if store:
                store(StoredResponse(self._own_items, response))
            if report:
                report(response)


class CompactExchange(Exchange):
    """`POST …/responses/compact`: the input ends with a trigger, and the reply has its own form."""

    stores_response = False

    def __init__(
        self,
        parsed: ParsedRequest,
        context: ExchangeContext,
        crossing: Crossing,
        client: ClientDialect,
    ) -> None:
        request = parsed.request
        self._compacted_items = [*(context.history or ()), *request.input_items]
        has_trigger = compaction.asks_for_compaction(request.input_items)
        trigger = [] if has_trigger else [{"type": compaction.COMPACTION_TRIGGER}]
        fields = {"input": [*request.input_items, *trigger], "stream": False}
        parsed = parsed._replace(request=request.model_copy(update=fields))
        super().__init__(parsed, context, crossing, client)

    def _whole_body(self, events: list[Event]) -> Json:
        response = self._machine.response
        body, dropped = compaction.to_compacted_body(response, self._compacted_items, self.provider)
        for path in dropped:
            self._machine.mark_dropped(path)
        return body


def _is_trigger(item: Json) -> bool:
    return item.get("type") == compaction.COMPACTION_TRIGGER


def _with_history(
    request: ResponsesRequest, context: ExchangeContext, *, stores: bool
) -> ResponsesRequest:
    """The request, with the items of earlier responses before its own.

    A `store` that the relay itself obeys is neither sent nor dropped.
    """
    items = [*(context.history or ()), *request.input_items]
    return request.model_copy(update={"input": items} | ({"store": None} if stores else {}))


# Without these the reply would be another one, so they are not dropped.
REFUSED_PARAMETERS = {
    "background": "the relay runs no responses in the background",
    "conversation": "the relay stores no conversations; continue with previous_response_id",
    "prompt": "the relay has no stored prompts; send their text as instructions and input",
}


def _check_supported(request: ResponsesRequest, history: Sequence[Json] | None) -> None:
    """Raises BadRequest."""
    if request.previous_response_id and history is None:
        raise previous_response_missing(request.previous_response_id)
    for name, reason in REFUSED_PARAMETERS.items():
        if getattr(request, name):
            raise BadRequest(f"{name}: {reason}", param=name)
    check_references(request.input_items)


def _convert_request(
    parsed: ParsedRequest, crossing: Crossing, *arguments: Any
) -> tuple[Json, list[str]]:
    """The upstream's body, and what was dropped. Raises BadRequest with the client's own paths."""
    try:
        return crossing.convert_request(*arguments)
    except BadRequest as error:
        path = error.param or ""
        client_path = parsed.client_path(path)
        message = error.message.replace(path, client_path, 1)
        raise BadRequest(message, param=client_path or None, code=error.code) from None
