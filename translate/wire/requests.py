"""Models of both dialects' requests, with only the fields that the relay reads.

Sources: https://developers.openai.com/api/reference/resources/responses (create) and
https://platform.openai.com/docs/api-reference/chat/create. Items, messages, tools and parts stay
plain dicts, which translate/request and translate/tools read.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, ValidationError

from translate.wire.errors import BadRequest

# The first wrong element is enough: millions of errors would fill the memory.
# With `type`, as Python 3.12.0 and 3.12.1 cannot put a plain Annotated[…, FailFast()] into a union.
type Objects = Annotated[list[dict[str, Any]], FailFast()]
type Strings = Annotated[list[str], FailFast()]
type FieldTypes = dict[str, type | tuple[type, ...]]

# Items, messages, tools and parts are open-ended, so only the fields that the relay reads have
# types here.
ITEM_FIELDS: FieldTypes = {
    "type": str, "role": str, "id": str, "call_id": str, "name": str, "namespace": str,
    "content": (str, list), "summary": list, "encrypted_content": str,
    "input": str, "arguments": (str, dict), "action": dict, "tools": list,
}  # fmt: skip
TOOL_FIELDS: FieldTypes = {
    "type": str, "name": str, "description": str, "namespace": str,
    "parameters": dict, "format": dict, "tools": list,
}  # fmt: skip
PART_FIELDS: FieldTypes = {"type": str, "text": str, "detail": str}
MESSAGE_FIELDS: FieldTypes = {
    "role": str, "content": (str, list), "name": str, "refusal": str, "tool_call_id": str,
    "tool_calls": list, "function_call": dict,
}  # fmt: skip
CHAT_CALL_FIELDS: FieldTypes = {"id": str, "type": str, "function": dict, "custom": dict}
CHAT_CALL_BODY_FIELDS: FieldTypes = {"name": str, "arguments": (str, dict), "input": str}
TYPE_WORDS: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}


def check_fields(value: object, types: FieldTypes, path: str) -> None:
    """Check that `value` is an object whose fields, where present, have these types.

    `path` leads to the value in the request. Raises BadRequest.
    """
    if not isinstance(value, dict):
        raise BadRequest(f"{path}: must be an object", param=path)
    for name, field in value.items():  # cheaper than the table, which has more fields
        expected = types.get(name)
        if expected and field is not None and not isinstance(field, expected):
            alternatives = expected if isinstance(expected, tuple) else (expected,)
            words = " or ".join(TYPE_WORDS[alternative] for alternative in alternatives)
            raise BadRequest(f"{path}.{name}: must be {words}", param=f"{path}.{name}")


def validate_body[Model: BaseModel](model: type[Model], body: dict[str, Any]) -> Model:
    """The body as an instance of this model. Raises BadRequest naming the wrong field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        # A union reports one error for each member; the deepest says most. The members' names are
        # not part of the path.
        deepest = max(error.errors(), key=lambda member_error: len(member_error["loc"]))
        param = _format_path(
            step for step in deepest["loc"] if step != "str" and "[" not in str(step)
        )
        raise BadRequest(f"{param}: {deepest['msg']}", param=param) from None


def _format_path(steps: Iterable[int | str]) -> str:
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
    return path


# Responses ---------------------------------------------------------------------------------------


class ReasoningSettings(BaseModel):
    model_config = ConfigDict(extra="allow")

    effort: str | None = None
    summary: str | None = None


class TextSettings(BaseModel):
    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponsesRequest(BaseModel):
    """Unknown fields are kept (`model_extra`): the relay forwards them or reports them dropped."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str
    input: str | Objects
    instructions: str | Objects | None = None
    tools: Objects | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningSettings | None = None
    text: TextSettings | None = None
    max_output_tokens: int | None = None
    include: Strings | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None

    @property
    def input_items(self) -> list[dict[str, Any]]:
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": self.input}]
        return self.input


def validate_responses_request(body: dict[str, Any]) -> ResponsesRequest:
    """Raises BadRequest naming the first field that is missing or of the wrong type."""
    request = validate_body(ResponsesRequest, body)
    for name, items in (("instructions", request.instructions), ("input", request.input)):
        for position, item in enumerate(items if isinstance(items, list) else []):
            check_fields(item, ITEM_FIELDS, f"{name}[{position}]")
    return request


ECHOED_REASONING = {"effort", "summary"}
# OpenAI's values for what the client leaves out; https://www.openresponses.org requires each field.
ECHOED_DEFAULTS: dict[str, Any] = {
    "frequency_penalty": 0.0,
    "max_tool_calls": None,
    "metadata": {},
    "presence_penalty": 0.0,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "top_logprobs": 0,
    "top_p": 1.0,
    "user": None,
}
FUNCTION_DEFAULTS: dict[str, Any] = {"description": None, "parameters": None, "strict": None}
JSON_SCHEMA_DEFAULTS: dict[str, Any] = {"description": None, "strict": False}


def empty_response(
    request: ResponsesRequest, id: str, now: int, *, store: bool = False
) -> dict[str, Any]:
    """The response object before the upstream has answered.

    It echoes the request's settings, as OpenAI's does. `now` is in Unix seconds.
    """
    extra = request.model_extra or {}
    settings = {name: value for name in ECHOED_DEFAULTS if (value := extra.get(name)) is not None}
    reasoning = request.reasoning
    return {
        "id": id,
        "object": "response",
        "created_at": now,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "reasoning": reasoning.model_dump(include=ECHOED_REASONING) if reasoning else None,
        "service_tier": "default",
        "store": store,
        "text": _echo_text(request.text or TextSettings()),
        "tool_choice": request.tool_choice or "auto",
        "tools": [_echo_tool(tool) for tool in request.tools or []],
        "truncation": "disabled",
        "usage": None,
        **ECHOED_DEFAULTS,
        **settings,
    }


def _echo_tool(tool: dict[str, Any]) -> dict[str, Any]:
    return _fill_defaults(tool, FUNCTION_DEFAULTS) if tool.get("type") == "function" else tool


def _echo_text(text: TextSettings) -> dict[str, Any]:
    form = text.format or {"type": "text"}
    form = _fill_defaults(form, JSON_SCHEMA_DEFAULTS) if form.get("type") == "json_schema" else form
    return {**text.model_dump(exclude_none=True), "format": form}


def _fill_defaults(fields: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The fields in their order, followed by the defaults that are missing."""
    return fields | {name: value for name, value in defaults.items() if name not in fields}


# Chat --------------------------------------------------------------------------------------------


class StreamOptions(BaseModel):
    include_usage: bool | None = None


class StreamSettings(BaseModel):
    stream_options: StreamOptions | None = None


class ChatRequest(BaseModel):
    """Unknown fields are kept (`model_extra`), as most have the same name in Responses."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str
    messages: Objects
    tools: Objects | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: Objects | None = None
    function_call: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    n: int | None = None
    store: bool | None = None
    stop: str | Strings | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    web_search_options: dict[str, Any] | None = None


def validate_chat_request(body: dict[str, Any]) -> ChatRequest:
    """Raises BadRequest naming the first field that is missing or of the wrong type."""
    request = validate_body(ChatRequest, body)
    for position, message in enumerate(request.messages):
        check_fields(message, MESSAGE_FIELDS, f"messages[{position}]")
    return request
