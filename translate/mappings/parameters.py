"""A request's parameters as the provider takes them, in either dialect."""

import re
from collections.abc import Callable
from operator import add, or_
from typing import Any

from translate.mappings import logprobs
from translate.providers.model_names import TIERS
from translate.providers.profile import Provider
from translate.tools.schema import normalised
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.requests import ResponsesRequest

Json = dict[str, Any]
Parameter = Callable[[str, Any, Provider, ToolMap], Json | None]
Table = dict[str, Parameter]

# Addressed to us or to Codex's own bookkeeping: nothing that a model should have seen.
OURS = frozenset({"client_metadata", "type", "generate", "stream_options"})
REASONING = "reasoning.encrypted_content"  # always included, in our own envelope


def to_chat(request: ResponsesRequest, provider: Provider, tools: ToolMap) -> Json:
    """Chat's fields for the parameters that the client set; the rest is reported by `tools`."""
    body = dict(provider.extra)
    for name, value in _given(request):
        made = _made(name, value, provider, tools, body, PARAMETERS)
        if made is None:
            if not _implied(name, value, tools):
                tools.dropped.append(name)
        else:
            body |= made
    return body


def to_responses(request: ResponsesRequest, provider: Provider, tools: ToolMap) -> Json:
    """The same for an upstream of the client's own dialect."""
    body = dict(provider.extra)
    more = request.reasoning.model_dump(exclude_none=True) if request.reasoning else {}
    shown = {f"reasoning.{name}": value for name, value in more.items() if name != "effort"}
    for name, value in [*_given(request), *shown.items()]:
        made = _made(name, value, provider, tools, body, RESPONSES)
        if made is None:
            if not _implied(name, value, tools):
                tools.dropped.append(name)
            continue
        for field, said in made.items():
            known: Any = body.get(field)
            together = field in TOGETHER and known is not None
            body[field] = TOGETHER[field](known, said) if together else said
    return body


def _made(
    name: str, value: Any, provider: Provider, tools: ToolMap, body: Json, table: Table
) -> Json | None:
    if name not in provider.parameters:
        return None
    if name == "reasoning.effort" and _excluded(provider, body):
        return None
    return table.get(name, _same)(name, value, provider, tools)


def _excluded(provider: Provider, body: Json) -> bool:
    """Whether what is asked for already excludes thinking."""
    forces = body.get("tool_choice") not in (None, "none")
    return bool(forces and provider.forced or "response_format" in body and provider.formatted)


def _given(request: ResponsesRequest) -> list[tuple[str, Any]]:
    """Every parameter that the client set, in a fixed order, nested ones by dotted name."""
    reasoning_, text, included = request.reasoning, request.text, request.include or []
    given: dict[str, Any] = {
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "text.format": text and text.format,
        "reasoning.effort": reasoning_ and reasoning_.effort,
        "text.verbosity": text and text.verbosity,
        "max_output_tokens": request.max_output_tokens,
        logprobs.ASKED: logprobs.ASKED in included or None,
        "include": [name for name in included if name not in (REASONING, logprobs.ASKED)],
        "store": request.store,
    }
    given |= {name: value for name, value in sorted((request.model_extra or {}).items())}
    return [(k, v) for k, v in given.items() if v is not None and k not in OURS]


def _implied(name: str, value: object, tools: ToolMap) -> bool:
    """Values that say what holds anyway, so that leaving them out loses nothing."""
    if name in ("tool_choice", "parallel_tool_calls"):
        return not tools.declared or value in ("auto", True)
    return (name, value) in HOLDS or value in ({}, [], "")


HOLDS = (
    ("store", False),
    ("text.format", {"type": "text"}),
    ("truncation", "disabled"),
    ("service_tier", "auto"),
    ("service_tier", "default"),
    ("top_logprobs", 0),
)


def _same(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    return {name: value}


def _max_tokens(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {provider.max_tokens: value}


def _effort(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    return _depth(value, provider, provider.effort_field)


def _depth(value: str, provider: Provider, place: str) -> Json | None:
    said = provider.efforts.get(value, provider.efforts.get("*", value))
    if isinstance(said, dict):
        return dict(said) or None
    *outer, field = place.split(".")
    made: Json = {field: said}
    for part in reversed(outer):
        made = {part: made}
    return made


def _verbosity(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {"verbosity": value}


def _choice(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    choice = tools.choice(value)
    if choice == "auto":
        return {}
    return {name: choice} | (provider.forced if choice != "none" else {})


def _parallel(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    # said only where it changes something
    return {name: value} if value is provider.one_call and tools.declared else None


def _format(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    form = value.get("type")
    if form == "json_schema" and form in provider.formats:
        keys = ("name", "description", "schema", "strict")
        schema = {key: value[key] for key in keys if value.get(key) is not None}
        if isinstance(schema.get("schema"), dict):
            schema["schema"] = normalised(schema["schema"], provider.subset)
        made: Json = {"type": "json_schema", "json_schema": schema}
    elif form in ("json_object", "json_schema") and "json_object" in provider.formats:
        made = {"type": "json_object"}
    else:
        return None
    return {"response_format": made} | provider.formatted


def _logprobs(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return logprobs.to_chat(name, value)


def format_in_words(request: ResponsesRequest, provider: Provider) -> str:
    """What a provider is told of a schema that it takes in no field."""
    form = request.text and request.text.format
    if not form or form.get("type") != "json_schema" or "text.format" not in provider.parameters:
        return ""
    if "json_schema" in provider.formats or not isinstance(form.get("schema"), dict):
        return ""
    return f"Answer with JSON alone, valid under this schema:\n{codec.text(form['schema'])}"


HEADER = "header:"


def _cache_key(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    if provider.cache_key.startswith(HEADER):
        return {} if fits_header(value) else None
    return {provider.cache_key: value}


def headers(request: ResponsesRequest, provider: Provider) -> dict[str, str]:
    """What goes up beside the body."""
    key = (request.model_extra or {}).get("prompt_cache_key")
    taken = "prompt_cache_key" in provider.parameters and fits_header(key)
    here, name = provider.cache_key.startswith(HEADER), provider.cache_key.removeprefix(HEADER)
    return {name: str(key)} if taken and here else {}


def fits_header(value: object) -> bool:
    """Whether a header can carry it."""
    return isinstance(value, str) and bool(re.fullmatch(r"[!-~]{1,256}", value))


PARAMETERS: Table = {
    "prompt_cache_key": _cache_key,
    "max_output_tokens": _max_tokens,
    "reasoning.effort": _effort,
    "text.format": _format,
    "text.verbosity": _verbosity,
    "tool_choice": _choice,
    "parallel_tool_calls": _parallel,
    "top_logprobs": _logprobs,
    logprobs.ASKED: _logprobs,
}


# An upstream of the same dialect: what Chat spells `{type, <type>: {…}}` is one object here.


def flat(said: Json) -> Json:
    kind = said["type"]
    return {"type": kind, **said.get(kind, {})}


def _inner(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    outer, _, field = name.partition(".")
    return {outer: {field: value}}


def _effort_inside(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    return _depth(value, provider, name)


def _choice_flat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    kind = value.get("type") if isinstance(value, dict) else "*"
    if provider.native(str(kind)):
        return {name: value}
    made = _choice(name, value, provider, tools) or {}
    return made | {name: flat(made[name])} if isinstance(made.get(name), dict) else made


def _parallel_flat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    # they may stand in the input, where all passes as it is
    passes = tools.native or provider.native("*")
    return {name: value} if passes else _parallel(name, value, provider, tools)


def _format_flat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    made = _format(name, value, provider, tools)
    return made and {"text": {"format": flat(made["response_format"])}}


def _tier(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {name: TIERS.get(value, value)}


def _include(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {name: [REASONING, *value]}


def _include_logprobs(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {"include": [name]}


# Fields to which several parameters belong.
TOGETHER: dict[str, Callable[[Any, Any], Any]] = {"reasoning": or_, "text": or_, "include": add}
RESPONSES: Table = {
    logprobs.ASKED: _include_logprobs,
    "prompt_cache_key": _cache_key,
    "include": _include,
    "reasoning.context": _inner,
    "reasoning.effort": _effort_inside,
    "reasoning.summary": _inner,
    "text.format": _format_flat,
    "text.verbosity": _inner,
    "service_tier": _tier,
    "tool_choice": _choice_flat,
    "parallel_tool_calls": _parallel_flat,
}
