"""The sources of a text: annotations and citations in Chat ⇄ annotations of Responses.

OpenAI, OpenRouter and Groq send `annotations` in the delta or message, with their place in the
text (https://openrouter.ai/docs/guides/features/server-tools/web-search); xAI and Perplexity a bare
list of URLs beside the choices (https://docs.x.ai/docs/guides/live-search, litellm#13777).
"""

from typing import Any

Json = dict[str, Any]


def found_in(chunk: Json) -> list[Json]:
    """What a whole chunk cites."""
    return [one for one in map(_source, _list(chunk.get("citations"))) if one]


def annotated(delta: Json) -> list[Json]:
    """What a delta or a message cites. A parsed file (OpenRouter) is no citation."""
    return [one for one in map(_citation, _list(delta.get("annotations"))) if one]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _citation(annotation: Any) -> Json | None:
    if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
        return None
    inner = annotation.get("url_citation")
    return _source(inner if isinstance(inner, dict) else annotation)


def _source(source: Any) -> Json | None:
    match source:
        case str():
            return {"url": source}
        case {"url": str()}:
            return {k: source[k] for k in ("url", "title", "start_index", "end_index")
                    if k in source}  # fmt: skip
    return None


def to_responses(source: Json, offset: int, length: int) -> Json:
    """An annotation of a text that begins at `offset` of all that was said.

    What tells no place, or one outside of this text, stands at its end.
    """
    start, end = _place(source.get("start_index")), _place(source.get("end_index"))
    inside = start is not None and end is not None and offset <= start <= end <= offset + length
    return {
        "type": "url_citation",
        "url": source["url"],
        "title": str(source.get("title") or source["url"]),
        "start_index": start - offset if inside and start is not None else length,
        "end_index": end - offset if inside and end is not None else length,
    }


def to_chat(annotation: Any, offset: int) -> Json | None:
    """The same of a text that begins at `offset`; None for what Chat has no form for."""
    source = _citation(annotation)
    if source is None:
        return None
    start, end = _place(source.get("start_index")), _place(source.get("end_index"))
    cited = {
        "url": source["url"],
        "title": str(source.get("title") or source["url"]),
        "start_index": offset + (start or 0),
        "end_index": offset + (end or 0),
    }
    return {"type": "url_citation", "url_citation": cited}


def _place(value: Any) -> int | None:
    return value if isinstance(value, int) else None
