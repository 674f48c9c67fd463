"""One exchange of the fuzzer: a request, a reply and how the reply is cut, and what must hold."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tests.translate.support import (
    ACCOUNT,
    DONE,
    END_EVENTS,
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
from translate.mappings.annotations import ANNOTATION_FIELDS
from translate.reply.upstream_items import ITEM_TYPES_BY_EVENT, OWN_EVENTS

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
        for event in filter(is_written_here, events):
            check_sdk_type(narrow_event(event))
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
        Response.model_validate(drop_foreign_annotations(drop_foreign_items(value)) | ECHO)
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


# The relay writes these items, whatever the upstream sends. Of others, such as calls of hosted
# tools, it reads little, and passes them as they are; so it does with events that it does not know.
WRITTEN_ITEMS = {"message", "reasoning", "function_call", "custom_tool_call"}
WRITTEN_EVENTS = {
    *END_EVENTS,
    *(f"response.{step}" for step in ("created", "in_progress")),
    *(f"response.output_item.{step}" for step in ("added", "done")),
    *(f"{name}.{step}" for name in ITEM_TYPES_BY_EVENT for step in ("delta", "done")),
    *(f"{name}.{step}" for name in OWN_EVENTS for step in ("added", "done")),
}


def is_written_here(event: Json) -> bool:
    is_written_item = event.get("item", {"type": "message"})["type"] in WRITTEN_ITEMS
    return (
        is_written_item
        and has_known_type(event.get("annotation"))
        and (event["type"] in WRITTEN_EVENTS)
    )


def has_known_type(annotation: Json | None) -> bool:
    """Annotations of other types pass as they are."""
    return annotation is None or annotation["type"] in ANNOTATION_FIELDS


def drop_foreign_items(response: Json) -> Json:
    items = [item for item in response["output"] if item["type"] in WRITTEN_ITEMS]
    assert all(isinstance(item["id"], str) and item["id"] for item in response["output"])
    return {**response, "output": items}


def drop_foreign_annotations(value: Any) -> Any:
    if isinstance(value, list):
        return [drop_foreign_annotations(element) for element in value]
    if not isinstance(value, dict):
        return value
    value = {name: drop_foreign_annotations(element) for name, element in value.items()}
    if isinstance(value.get("annotations"), list):
        value["annotations"] = [*filter(has_known_type, value["annotations"])]
    return value


def narrow_event(event: Json) -> Json:
    """The event without what its response repeats of the request, and without what is foreign."""
    if isinstance(response := event.get("response"), dict):
        event = {**event, "response": drop_foreign_items(response) | ECHO}
    narrowed: Json = drop_foreign_annotations(event)
    return narrowed


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
