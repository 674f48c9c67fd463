"""What a text is annotated with, both ways: the sources that it cites, and log probabilities.

OpenAI, OpenRouter and Groq send `annotations` in the delta or message, with positions in the text
(https://openrouter.ai/docs/guides/features/server-tools/web-search); xAI and Perplexity send a bare
list of URLs beside the choices (https://docs.x.ai/docs/guides/live-search, BerriAI/litellm#13777).
"""

from typing import Any

Json = dict[str, Any]


def chunk_citations(chunk: Json) -> list[Json]:
    """The sources that a chunk cites beside its choices."""
    return [source for source in map(_source_fields, _as_list(chunk.get("citations"))) if source]


def delta_citations(delta: Json) -> list[Json]:
    """The sources that a delta or a message cites; OpenRouter's parsed files are not sources."""
    return [
        source for source in map(_citation_source, _as_list(delta.get("annotations"))) if source
    ]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _citation_source(annotation: Any) -> Json | None:
    if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
        return None
    inner = annotation.get("url_citation")
    return _source_fields(inner if isinstance(inner, dict) else annotation)


def _source_fields(source: Any) -> Json | None:
    match source:
        case str():
            return {"url": source}
        case {"url": str()}:
            return {name: source[name] for name in SOURCE_FIELDS if name in source}
    return None


SOURCE_FIELDS = ("url", "title", "start_index", "end_index")


def annotation_to_responses(source: Json, offset: int, length: int) -> Json:
    """The Responses annotation for a text of this length at `offset` of the reply's text.

    A source without a position, or with one outside this text, is placed at its end.
    """
    start, end = _text_position(source.get("start_index")), _text_position(source.get("end_index"))
    inside = start is not None and end is not None and offset <= start <= end <= offset + length
    return {
        "type": "url_citation",
        "url": source["url"],
        "title": str(source.get("title") or source["url"]),
        "start_index": start - offset if inside and start is not None else length,
        "end_index": end - offset if inside and end is not None else length,
    }


def annotation_to_chat(annotation: Any, offset: int) -> Json | None:
    """The Chat annotation for a text at `offset` of the reply's; None unless it cites a URL."""
    source = _citation_source(annotation)
    if source is None:
        return None
    start, end = _text_position(source.get("start_index")), _text_position(source.get("end_index"))
    cited = {
        "url": source["url"],
        "title": str(source.get("title") or source["url"]),
        "start_index": offset + (start or 0),
        "end_index": offset + (end or 0),
    }
    return {"type": "url_citation", "url_citation": cited}


# The fields that each type of a Responses annotation must have.
ANNOTATION_FIELDS: dict[str, dict[str, type]] = {
    "url_citation": {"url": str, "title": str, "start_index": int, "end_index": int},
    "file_citation": {"file_id": str, "filename": str, "index": int},
    "file_path": {"file_id": str, "index": int},
    "container_file_citation": {
        "container_id": str, "file_id": str, "filename": str, "start_index": int, "end_index": int,
    },
}  # fmt: skip


def complete_annotation(annotation: Any) -> Json | None:
    """A Responses upstream's annotation with every field of its type; None if it is malformed.

    Annotations of other types pass.
    """
    if not isinstance(annotation, dict) or not isinstance(annotation.get("type"), str):
        return None
    fields = ANNOTATION_FIELDS.get(annotation["type"], {})
    completed = annotation | {
        name: kind() for name, kind in fields.items() if name not in annotation
    }
    is_valid = all(type(completed[name]) is kind for name, kind in fields.items())
    return completed if is_valid else None


def _text_position(value: Any) -> int | None:
    return value if isinstance(value, int) else None


# Log probabilities. One token has the same form in both dialects.
# Source: https://platform.openai.com/docs/api-reference/chat/object (choices[].logprobs).

LOGPROBS_INCLUDE = "message.output_text.logprobs"  # the member of `include`


def logprobs_to_chat(name: str, value: Any) -> Json:
    """Chat's parameters: the switch, beside the number of alternatives if that is asked for."""
    return {"logprobs": True} | ({} if name == LOGPROBS_INCLUDE else {name: value})


def logprobs_to_responses(choice: Json) -> list[Json]:
    """The tokens of a choice's text; [] for null and for the form of legacy completions."""
    logprobs = choice.get("logprobs")
    return normalize_logprobs(logprobs.get("content")) if isinstance(logprobs, dict) else []


def normalize_logprobs(content: Any) -> list[Json]:
    """The valid tokens, each with every field that the dialects require."""
    return [
        {**_token_fields(token), "top_logprobs": _token_alternatives(token.get("top_logprobs"))}
        for token in _valid_tokens(content)
    ]


def _token_alternatives(alternatives: Any) -> list[Json]:
    return [_token_fields(token) for token in _valid_tokens(alternatives)]


def _valid_tokens(tokens: Any) -> list[Json]:
    return [
        token
        for token in (tokens if isinstance(tokens, list) else ())
        if isinstance(token, dict)
        and isinstance(token.get("token"), str)
        and _is_logprob(token.get("logprob"))
    ]


def _is_logprob(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(is_number and -MOST_LOGPROB <= value <= MOST_LOGPROB)


MOST_LOGPROB = 1e6  # far above any; infinity has no JSON


def _token_fields(source: Json) -> Json:
    token = source["token"]
    raw = source.get("bytes")
    is_valid = isinstance(raw, list) and all(type(byte) is int for byte in raw)
    token_bytes = raw if is_valid else list(token.encode("utf-8", "replace"))
    return {"token": token, "bytes": token_bytes, "logprob": source["logprob"]}
