"""One exchange of the fuzzer: a request, a reply and how the reply is cut, and what must hold."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.translate.support import (
    ACCOUNT,
    DONE,
    GENERIC,
    WIDER_CODES,
    Json,
    check_sdk_type,
    check_well_formed,
    chunks_of,
    context_for,
    events_of,
    lawful_chunks,
    provider,
)
from translate import BadRequest, Dialect, Provider, decode_request, start_exchange

CORPUS = Path(__file__).parent / "corpus"
QUIRKS = ["bracketed_calls", "dsml_calls", "tagged_calls"]
UPSTREAMS: dict[str, Provider] = {
    "chat": GENERIC,
    "leaky chat": provider(quirks=QUIRKS, reasoning_back="reasoning_content"),
    "responses": provider(dialect="responses"),
    "account": ACCOUNT,
}


@dataclass(frozen=True)
class FuzzedExchange:
    """Everything that decides how an exchange goes; the bytes as Latin-1 text, for JSON."""

    client: Dialect
    upstream: str  # a key of UPSTREAMS
    request: str
    reply: str
    piece_length: int  # bytes

    def save(self, name: str) -> Path:
        """Add it to the corpus."""
        path = CORPUS / f"{name}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path


def load_corpus() -> dict[str, FuzzedExchange]:
    """The exchanges that once failed, by their names."""
    return {
        path.stem: FuzzedExchange(**json.loads(path.read_text()))
        for path in sorted(CORPUS.glob("*.json"))
    }


def check_exchange(fuzzed: FuzzedExchange) -> None:
    """Raises AssertionError, or whatever else is raised, where a law does not hold."""
    try:
        body = decode_request(fuzzed.request.encode("latin-1"))
        streamed = run_streamed(fuzzed, {**body, "stream": True})
        whole = run_whole(fuzzed, {**body, "stream": False})
    except BadRequest as error:
        assert 400 <= error.status < 500 and error.message
        error.message.encode()
        return
    assert streamed == whole, f"stream: {streamed}\nwhole: {whole}"


def run_streamed(fuzzed: FuzzedExchange, body: Json) -> Json:
    """What the client of a stream gets, in the terms of a whole reply."""
    exchange = start_exchange(
        body, client=fuzzed.client, context=context_for(UPSTREAMS[fuzzed.upstream])
    )
    json.loads(exchange.body)
    reply, length = fuzzed.reply.encode("latin-1"), fuzzed.piece_length
    pieces = [reply[start : start + length] for start in range(0, len(reply), length)]
    wire = b"".join(map(exchange.feed, pieces)) + exchange.feed(b"")
    if fuzzed.client == "responses":
        events = events_of(wire)
        check_well_formed(events)
        # What a Responses upstream sends passes as it is: items with odd fields, unknown events.
        if UPSTREAMS[fuzzed.upstream].dialect == "chat":
            for event in events:
                check_sdk_type(without_echo(event))
        return summarise_response(events[-1]["response"])
    lawful_chunks(wire)
    return summarise_chunks(chunks_of(wire))


def run_whole(fuzzed: FuzzedExchange, body: Json) -> Json:
    """What a client without a stream gets."""
    exchange = start_exchange(
        body, client=fuzzed.client, context=context_for(UPSTREAMS[fuzzed.upstream])
    )
    reply = exchange.whole_reply(fuzzed.reply.encode("latin-1"))
    value: Json = json.loads(reply.body)
    if reply.status != 200:
        return {"failed": value["error"]["message"]}
    if fuzzed.client == "responses":
        if UPSTREAMS[fuzzed.upstream].dialect == "chat":
            Response.model_validate(value | ECHO)
        return summarise_response(value)
    ChatCompletion.model_validate(value)
    [choice] = value["choices"]
    return {
        "text": choice["message"].get("content") or "",
        "calls": len(choice["message"].get("tool_calls") or ()),
        "end": choice["finish_reason"],
    }


# The request's own settings, whose oddities a response repeats.
ECHO: Json = {
    **{"instructions": None, "tools": [], "tool_choice": "auto", "metadata": {}, "text": {}},
    **{"reasoning": None, "temperature": 1.0, "top_p": 1.0, "top_logprobs": 0, "user": None},
    **{"max_output_tokens": None, "max_tool_calls": None, "prompt_cache_key": None},
    **{"safety_identifier": None, "previous_response_id": None, "model": "m"},
}


def without_echo(event: Json) -> Json:
    response = event.get("response")
    return {**event, "response": response | ECHO} if isinstance(response, dict) else event


def summarise_response(response: Json) -> Json:
    if response["status"] == "failed":
        assert response["error"]["code"] in {*WIDER_CODES, *FAILURE_CODES}
        return {"failed": response["error"]["message"]}
    names = ("type", "status", "content", "summary", "name", "arguments", "input")
    items = [{name: item.get(name) for name in names} for item in response["output"]]
    return {"status": response["status"], "items": items, "usage": response["usage"]}


FAILURE_CODES = {"server_error", "invalid_prompt", "rate_limit_exceeded", "cyber_policy"}
FAILURE_CODES |= {"usage_not_included", "upstream_error"}


def summarise_chunks(chunks: list[Json]) -> Json:
    errors = [chunk["error"]["message"] for chunk in chunks if "error" in chunk]
    if errors:
        return {"failed": errors[0]}
    choices = [
        choice for chunk in chunks if chunk is not DONE for choice in chunk.get("choices", ())
    ]
    deltas = [choice["delta"] for choice in choices]
    return {
        "text": "".join(delta.get("content") or "" for delta in deltas),
        "calls": sum("id" in call for delta in deltas for call in delta.get("tool_calls", ())),
        "end": next(filter(None, (choice["finish_reason"] for choice in choices)), None),
    }
