"""Wire model of a Responses request: only the fields that we read.

Source: https://developers.openai.com/api/reference/resources/responses (create). Items and tools
stay plain dicts; the tables in request.py and tools.py read them.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from translate.wire.errors import BadRequest

Types = dict[str, type | tuple[type, ...]]

# Items, tools and parts are open-ended: what we read of them, wherever it stands.
ITEM: Types = {
    "type": str, "role": str, "id": str, "call_id": str, "name": str, "namespace": str,
    "content": (str, list), "summary": list, "encrypted_content": str,
    "input": str, "arguments": (str, dict), "action": dict, "tools": list,
}  # fmt: skip
TOOL: Types = {
    "type": str, "name": str, "description": str, "namespace": str,
    "parameters": dict, "format": dict, "tools": list,
}  # fmt: skip
PART: Types = {"type": str, "text": str, "detail": str}
WORDS: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}


def check(value: object, types: Types, place: str) -> None:
    """Raises BadRequest unless `value` is an object whose fields, where there, have these types."""
    if not isinstance(value, dict):
        raise BadRequest(f"{place}: must be an object", param=place)
    for name, said in value.items():  # of which there are fewer than types, and most are right
        wanted = types.get(name)
        if wanted and said is not None and not isinstance(said, wanted):
            either = wanted if isinstance(wanted, tuple) else (wanted,)
            what = " or ".join(WORDS[one] for one in either)
            raise BadRequest(f"{place}.{name}: must be {what}", param=f"{place}.{name}")


class Reasoning(BaseModel):
    model_config = ConfigDict(extra="allow")

    effort: str | None = None
    summary: str | None = None


class Text(BaseModel):
    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponsesRequest(BaseModel):
    """Unknown fields are kept (`model_extra`): they are forwarded or reported, never ignored."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str
    input: str | list[dict[str, Any]]
    instructions: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: Text | None = None
    max_output_tokens: int | None = None
    include: list[str] | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None

    @property
    def items(self) -> list[dict[str, Any]]:
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": self.input}]
        return self.input


SAID = {"effort", "summary"}  # of `reasoning`
# What OpenAI says where the client did not; https://www.openresponses.org wants each to be there.
ECHOED: dict[str, Any] = {
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
FUNCTION: dict[str, Any] = {"description": None, "parameters": None, "strict": None}
JSON_SCHEMA: dict[str, Any] = {"description": None, "strict": False}


def skeleton(
    request: ResponsesRequest, id: str, now: int, *, store: bool = False
) -> dict[str, Any]:
    """The response object before anything has come: the request's settings, as OpenAI echoes."""
    extra = request.model_extra or {}
    said = {name: value for name in ECHOED if (value := extra.get(name)) is not None}
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
        "reasoning": request.reasoning.model_dump(include=SAID) if request.reasoning else None,
        "service_tier": "default",
        "store": store,
        "text": _text(request.text or Text()),
        "tool_choice": request.tool_choice or "auto",
        "tools": [_tool(tool) for tool in request.tools or []],
        "truncation": "disabled",
        "usage": None,
        **ECHOED,
        **said,
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return _completed(tool, FUNCTION) if tool.get("type") == "function" else tool


def _text(text: Text) -> dict[str, Any]:
    form = text.format or {"type": "text"}
    form = _completed(form, JSON_SCHEMA) if form.get("type") == "json_schema" else form
    return {**text.model_dump(exclude_none=True), "format": form}


def _completed(given: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    return given | {name: value for name, value in rest.items() if name not in given}


def read(body: dict[str, Any]) -> ResponsesRequest:
    """Raises BadRequest naming the first field that is missing or of the wrong type."""
    request = validated(ResponsesRequest, body)
    for name, items in (("instructions", request.instructions), ("input", request.input)):
        for position, item in enumerate(items if isinstance(items, list) else []):
            check(item, ITEM, f"{name}[{position}]")
    return request


def validated[Model: BaseModel](model: type[Model], body: dict[str, Any]) -> Model:
    """Raises BadRequest naming the first wrong field."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        # a union reports one error a member: the deepest tells most; a member's name is no place
        deepest = max(error.errors(), key=lambda one: len(one["loc"]))
        param = _path(part for part in deepest["loc"] if part != "str" and "[" not in str(part))
        raise BadRequest(f"{param}: {deepest['msg']}", param=param) from None


def _path(loc: Any) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
