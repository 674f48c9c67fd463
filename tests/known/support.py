"""Shared by the tests of known defects: items of a conversation, and a check of what is sent."""

import json
from typing import Any

from tests.provider_rules import RULES_OF_PROVIDERS
from tests.strict_chat import body_fault
from tests.translate.support import (
    PROVIDERS,
    Json,
    chunk,
    output,
    reply_events,
    responses_exchange,
    sent_body,
)
from translate import Exchange, Provider

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJg"
    "gg=="
)
PICTURE = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
GRAMMAR = 'start: "*** Begin Patch" LF hunk+ "*** End Patch" LF?'
APPLY_PATCH: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": GRAMMAR},
}
PATCH = "*** Begin Patch\n*** Add File: a.txt\n+one\n*** End Patch\n"
TINY: Json = {
    "type": "namespace",
    "name": "mcp__tiny",
    "description": "",
    "tools": [
        {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
    ],
}
EXEC: Json = {
    "type": "custom",
    "name": "exec",
    "description": "Runs JavaScript.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /[\\s\\S]+/"},
}
CODE_MODE: Json = {"type": "namespace", "name": "functions", "description": "", "tools": [EXEC]}


def message(role: str, text: str) -> Json:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def user_message(text: str = "Hello.") -> Json:
    return message("user", text)


def developer_message(text: str) -> Json:
    return message("developer", text)


def function_tool(name: str = "f", **parameters: Any) -> Json:
    return {"type": "function", "name": name, "parameters": {"type": "object", **parameters}}


def call_item(id: str, name: str = "f", arguments: str = "{}", **fields: Any) -> Json:
    return {
        "type": "function_call", "call_id": id, "name": name, "arguments": arguments, **fields,
    }  # fmt: skip


def call_output(id: str, output: Any = "ok") -> Json:
    return {"type": "function_call_output", "call_id": id, "output": output}


def tool_names(body: Json) -> list[str]:
    return [tool["function"]["name"] for tool in body.get("tools", ())]


def message_roles(body: Json) -> list[str]:
    return [message["role"] for message in body["messages"]]


def accepted_body(
    *items: Json, to: str = "generic", model: str = "upstream-model", **fields: Any
) -> Json:
    """The body that is sent for these items, which a strict fake of this provider accepts."""
    fields.setdefault("tools", [function_tool()])
    provider = PROVIDERS[to].for_model(model)
    body = sent_body(to=provider, input=list(items), **fields)
    if to in RULES_OF_PROVIDERS:
        assert body_fault({**body, "model": model}, RULES_OF_PROVIDERS[to]) is None
    return body


def reply_items(to: str, *chunks: Json, model: str = "upstream-model", **fields: Any) -> list[Json]:
    """The items that the client gets for a reply of these chunks."""
    return output(
        reply_events(
            *chunks, exchange=responses_exchange(to=PROVIDERS[to].for_model(model), **fields)
        )
    )


def call_delta(index: int | None = 0, **fields: Any) -> Json:
    """A chunk with a piece of a tool call: `id`, `name`, `arguments` as far as passed."""
    position = {} if index is None else {"index": index}
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return chunk(tool_calls=[{**position, **fields, "function": function}])


def call_items(*chunks: Json, finish: str = "tool_calls", by: Exchange | None = None) -> list[Json]:
    """The call items of a completed reply of these chunks."""
    by = by or responses_exchange(tools=[function_tool("f"), function_tool("g")])
    return [
        item
        for item in output(reply_events(*chunks, chunk(finish), exchange=by))
        if "call" in item["type"]
    ]


def names_and_inputs(items: list[Json]) -> list[tuple[str, Any]]:
    return [(item["name"], json.loads(item["arguments"])) for item in items]


def patch_call(arguments: str, to: Provider = PROVIDERS["generic"], **fields: Any) -> Json:
    """The item of one call of apply_patch with these Chat arguments."""
    by = responses_exchange(to=to, tools=[APPLY_PATCH], **fields)
    [item] = call_items(call_delta(id="c", name="apply_patch", arguments=arguments), by=by)
    return item
