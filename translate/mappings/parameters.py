"""A request's parameters in the form that the provider accepts, for upstreams of both dialects."""

import re
from collections.abc import Callable
from operator import add, or_
from typing import Any

from translate.mappings import annotations
from translate.providers.model_names import TIERS
from translate.providers.profile import Provider
from translate.tools.schema import rewrite_schema
from translate.tools.tool_map import ToolMap
from translate.wire import codec
from translate.wire.requests import ResponsesRequest

Json = dict[str, Any]
# Translates a parameter (name, value) into fields of the body. None drops it, and a string drops
# it under this more precise name.
Parameter = Callable[[str, Any, Provider, ToolMap], Json | str | None]
Table = dict[str, Parameter]

# These serve the relay, or Codex's own bookkeeping; no model needs to see them.
RELAY_PARAMETERS = frozenset({"client_metadata", "type", "generate", "stream_options"})
ENCRYPTED_REASONING_INCLUDE = "reasoning.encrypted_content"  # the relay always includes it


def parameters_to_chat(
    request: ResponsesRequest, provider: Provider, tools: ToolMap
) -> tuple[Json, list[str]]:
    """The Chat fields for the parameters that the client set, and the names of those dropped."""
    body, dropped = dict(provider.extra), []
    for name, value in _requested_parameters(request):
        fields = _translate_parameter(name, value, provider, tools, body, CHAT_PARAMETERS)
        if isinstance(fields, dict):
            body |= fields
        elif fields or not _is_implied(name, value, tools):
            dropped.append(fields or name)
    return body, dropped


def parameters_to_responses(
    request: ResponsesRequest, provider: Provider, tools: ToolMap
) -> tuple[Json, list[str]]:
    """The same fields for a Responses upstream, and the names of the parameters dropped."""
    body, dropped = dict(provider.extra), []
    reasoning = request.reasoning.model_dump(exclude_none=True) if request.reasoning else {}
    reasoning_parameters = {
        f"reasoning.{name}": value for name, value in reasoning.items() if name != "effort"
    }
    for name, value in [*_requested_parameters(request), *reasoning_parameters.items()]:
        fields = _translate_parameter(name, value, provider, tools, body, RESPONSES_PARAMETERS)
        if not isinstance(fields, dict):
            if fields or not _is_implied(name, value, tools):
                dropped.append(fields or name)
            continue
        for field, field_value in fields.items():
            earlier_value: Any = body.get(field)
            is_joint = field in JOINT_FIELDS and earlier_value is not None
            body[field] = (
                JOINT_FIELDS[field](earlier_value, field_value) if is_joint else field_value
            )
    return body, dropped


def _translate_parameter(
    name: str, value: Any, provider: Provider, tools: ToolMap, body: Json, table: Table
) -> Json | str | None:
    if name not in provider.accepted_parameters:
        return None
    if name == "reasoning.effort" and _excludes_thinking(provider, body):
        return None
    return table.get(name, _keep_parameter)(name, value, provider, tools)


def _excludes_thinking(provider: Provider, body: Json) -> bool:
    """Whether a field of the body already excludes thinking with this provider."""
    forces_call = body.get("tool_choice") not in (None, "none")
    has_format = "response_format" in body
    return bool((forces_call and provider.forced) or (has_format and provider.formatted))


def _requested_parameters(request: ResponsesRequest) -> list[tuple[str, Any]]:
    """The parameters that the client set, in a fixed order, nested ones by dotted name."""
    reasoning, text, included = request.reasoning, request.text, request.include or []
    parameters: dict[str, Any] = {
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "text.format": text and text.format,
        "reasoning.effort": reasoning and reasoning.effort,
        "text.verbosity": text and text.verbosity,
        "max_output_tokens": request.max_output_tokens,
        annotations.LOGPROBS_INCLUDE: annotations.LOGPROBS_INCLUDE in included or None,
        "include": [
            name
            for name in included
            if name not in (ENCRYPTED_REASONING_INCLUDE, annotations.LOGPROBS_INCLUDE)
        ],
        "store": request.store,
    }
    parameters |= sorted((request.model_extra or {}).items())
    return [
        (name, value)
        for name, value in parameters.items()
        if value is not None and name not in RELAY_PARAMETERS
    ]


def _is_implied(name: str, value: object, tools: ToolMap) -> bool:
    """Whether the value is the default anyway, so that dropping it loses nothing."""
    if name in ("tool_choice", "parallel_tool_calls"):
        return not tools.functions or value in ("auto", True)
    return (name, value) in IMPLIED_VALUES or value in ({}, [], "")


IMPLIED_VALUES = (
    ("store", False),
    ("text.format", {"type": "text"}),
    ("truncation", "disabled"),
    ("service_tier", "auto"),
    ("service_tier", "default"),
    ("top_logprobs", 0),
)


def _keep_parameter(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    return {name: value}


def _max_tokens(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {provider.max_tokens: value}


def _effort_to_chat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    return _effort_fields(value, provider, provider.effort_field)


def _effort_fields(value: str, provider: Provider, path: str) -> Json | None:
    """The provider's fields for this effort, or its word for the effort at a dotted path."""
    effort = provider.efforts.get(value, provider.efforts.get("*", value))
    if isinstance(effort, dict):
        return dict(effort) or None
    *outer_names, name = path.split(".")
    fields: Json = {name: effort}
    for outer_name in reversed(outer_names):
        fields = {outer_name: fields}
    return fields


def _verbosity_to_chat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {"verbosity": value}


def _choice_to_chat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | str:
    choice, loss = tools.choice_to_chat(value)
    if choice == "auto":
        return loss or {}
    return {name: choice} | (provider.forced if choice != "none" else {})


def _parallel_to_chat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    # Sent only where it differs from what the provider does anyway.
    return {name: value} if value is provider.one_call and tools.functions else None


def _format_to_chat(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    form = value.get("type")
    if form == "json_schema" and form in provider.formats:
        keys = ("name", "description", "schema", "strict")
        schema = {key: value[key] for key in keys if value.get(key) is not None}
        if isinstance(schema.get("schema"), dict):
            path = f"{name}.schema"
            schema["schema"] = rewrite_schema(schema["schema"], provider.subset, path)
        response_format: Json = {"type": "json_schema", "json_schema": schema}
    elif form in ("json_object", "json_schema") and "json_object" in provider.formats:
        response_format = {"type": "json_object"}
    else:
        return None
    return {"response_format": response_format} | provider.formatted


def _logprobs_parameter(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return annotations.logprobs_to_chat(name, value)


def format_in_words(request: ResponsesRequest, provider: Provider) -> str:
    """The instruction for a schema that the provider accepts in no field; "" if none is needed."""
    if "text.format" not in provider.accepted_parameters or "json_schema" in provider.formats:
        return ""
    match request.text and request.text.format:
        case {"type": "json_schema", "schema": dict(schema)}:
            schema_text = codec.json_text(schema)
            return f"Answer with JSON alone, valid under this schema:\n{schema_text}"
    return ""


HEADER_PREFIX = "header:"


def _cache_key(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    if provider.cache_key.startswith(HEADER_PREFIX):
        return {} if fits_header(value) else None
    return {provider.cache_key: value}


def parameter_headers(request: ResponsesRequest, provider: Provider) -> dict[str, str]:
    """The headers for parameters that the provider takes in a header."""
    key = (request.model_extra or {}).get("prompt_cache_key")
    is_accepted = "prompt_cache_key" in provider.accepted_parameters and fits_header(key)
    if not is_accepted or not provider.cache_key.startswith(HEADER_PREFIX):
        return {}
    return {provider.cache_key.removeprefix(HEADER_PREFIX): str(key)}


def fits_header(value: object) -> bool:
    """Whether a header can carry the value."""
    return isinstance(value, str) and bool(re.fullmatch(r"[!-~]{1,256}", value))


CHAT_PARAMETERS: Table = {
    "prompt_cache_key": _cache_key,
    "max_output_tokens": _max_tokens,
    "reasoning.effort": _effort_to_chat,
    "text.format": _format_to_chat,
    "text.verbosity": _verbosity_to_chat,
    "tool_choice": _choice_to_chat,
    "parallel_tool_calls": _parallel_to_chat,
    "top_logprobs": _logprobs_parameter,
    annotations.LOGPROBS_INCLUDE: _logprobs_parameter,
}


def flatten_typed_object(value: Json) -> Json:
    """Chat's `{type, <type>: {…}}` as the one object that Responses has in its place."""
    type_name = value["type"]
    return {"type": type_name, **value.get(type_name, {})}


def _nest_parameter(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    outer, _, field = name.partition(".")
    return {outer: {field: value}}


def _effort_to_responses(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    return _effort_fields(value, provider, name)


def _choice_to_responses(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | str:
    tool_type = value.get("type") if isinstance(value, dict) else "*"
    if provider.passes_through(str(tool_type)):
        return {name: value}
    fields = _choice_to_chat(name, value, provider, tools)
    if isinstance(fields, str) or not isinstance(fields.get(name), dict):
        return fields
    return fields | {name: flatten_typed_object(fields[name])}


def _parallel_to_responses(
    name: str, value: Any, provider: Provider, tools: ToolMap
) -> Json | None:
    # Where everything passes unchanged, tools may also be in the input.
    passes = tools.native_tools or provider.passes_through("*")
    return {name: value} if passes else _parallel_to_chat(name, value, provider, tools)


def _format_to_responses(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json | None:
    fields = _format_to_chat(name, value, provider, tools)
    return fields and {"text": {"format": flatten_typed_object(fields["response_format"])}}


def _tier_to_responses(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {name: TIERS.get(value, value) if isinstance(value, str) else value}


def _include_to_responses(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {name: [ENCRYPTED_REASONING_INCLUDE, *value]}


def _include_logprobs(name: str, value: Any, provider: Provider, tools: ToolMap) -> Json:
    return {"include": [name]}


# Fields that several parameters fill, and how their values are joined.
JOINT_FIELDS: dict[str, Callable[[Any, Any], Any]] = {"reasoning": or_, "text": or_, "include": add}
RESPONSES_PARAMETERS: Table = {
    annotations.LOGPROBS_INCLUDE: _include_logprobs,
    "prompt_cache_key": _cache_key,
    "include": _include_to_responses,
    "reasoning.context": _nest_parameter,
    "reasoning.effort": _effort_to_responses,
    "reasoning.summary": _nest_parameter,
    "text.format": _format_to_responses,
    "text.verbosity": _nest_parameter,
    "service_tier": _tier_to_responses,
    "tool_choice": _choice_to_responses,
    "parallel_tool_calls": _parallel_to_responses,
}


def omit_fields(body: Json, provider: Provider) -> list[str]:
    """Remove the fields of `Provider.omits` from a body; returns the paths that were there."""
    return [path for path in sorted(provider.omits) if _remove_path(body, path.split("."))]


def _remove_path(value: Any, path: list[str]) -> bool:
    """Remove a path, in every element of the lists along it; returns whether it was there."""
    if isinstance(value, list):
        return any([_remove_path(element, path) for element in value])
    if not isinstance(value, dict) or path[0] not in value:
        return False
    if len(path) > 1:
        return _remove_path(value[path[0]], path[1:])
    del value[path[0]]
    return True
