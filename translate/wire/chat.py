"""Wire model of a Chat request: only the fields that we read.

Source: https://platform.openai.com/docs/api-reference/chat/create. Messages, tools and parts stay
plain dicts; ask.py reads them.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from translate.wire.requests import Types, check, validated

MESSAGE: Types = {
    "role": str, "content": (str, list), "name": str, "refusal": str, "tool_call_id": str,
    "tool_calls": list, "function_call": dict,
}  # fmt: skip
CALL: Types = {"id": str, "type": str, "function": dict, "custom": dict}
CALLED: Types = {"name": str, "arguments": (str, dict), "input": str}


class StreamOptions(BaseModel):
    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """Unknown fields are kept (`model_extra`), as most are called the same in Responses."""

    model_config = ConfigDict(extra="allow", frozen=True)

    model: str
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
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
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    web_search_options: dict[str, Any] | None = None


def read(body: dict[str, Any]) -> ChatRequest:
    """Raises BadRequest naming the first field that is missing or of the wrong type."""
    request = validated(ChatRequest, body)
    for position, message in enumerate(request.messages):
        check(message, MESSAGE, f"messages[{position}]")
    return request
