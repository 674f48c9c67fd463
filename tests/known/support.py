"""What the tests of known defects share: items of a conversation, and a judge of what goes up."""

import json
from typing import Any

from tests.provider_rules import RULES
from tests.strict_chat import refusal
from tests.translate.support import PROVIDERS, Json, carry, chunk, output, replied, sent
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


def user(text: str = "Hello.") -> Json:
    return message("user", text)


def developer(text: str) -> Json:
    return message("developer", text)


def function(name: str = "f", **parameters: Any) -> Json:
    return {"type": "function", "name": name, "parameters": {"type": "object", **parameters}}


def call(id: str, name: str = "f", arguments: str = "{}", **more: Any) -> Json:
    return {
        "type": "function_call", "call_id": id, "name": name, "arguments": arguments, **more,
    }  # fmt: skip


def out(id: str, output: Any = "ok") -> Json:
    return {"type": "function_call_output", "call_id": id, "output": output}


def names(body: Json) -> list[str]:
    return [tool["function"]["name"] for tool in body.get("tools", ())]


def roles(body: Json) -> list[str]:
    return [message["role"] for message in body["messages"]]


def accepted(
    *items: Json, to: str = "generic", model: str = "upstream-model", **fields: Any
) -> Json:
    """What goes up for these items, after a provider as strict as this one has taken it."""
    fields.setdefault("tools", [function()])
    provider = PROVIDERS[to].of(model)
    body = sent(to=provider, input=list(items), **fields)
    if to in RULES:
        assert refusal({**body, "model": model}, RULES[to]) is None
    return body


def reply_of(to: str, *chunks: Json, model: str = "upstream-model", **fields: Any) -> list[Json]:
    """The items that a client gets of a provider's reply."""
    return output(replied(*chunks, by=carry(to=PROVIDERS[to].of(model), **fields)))


def delta(index: int | None = 0, **more: Any) -> Json:
    """A piece of a tool call in a chunk: `id`, `name` and `arguments` where they are given."""
    place = {} if index is None else {"index": index}
    function = {key: more.pop(key) for key in ("name", "arguments") if key in more}
    return chunk(tool_calls=[{**place, **more, "function": function}])


def called(*chunks: Json, finish: str = "tool_calls", by: Exchange | None = None) -> list[Json]:
    """The call items of a completed reply of these chunks."""
    by = by or carry(tools=[function("f"), function("g")])
    return [
        item for item in output(replied(*chunks, chunk(finish), by=by)) if "call" in item["type"]
    ]


def brief(items: list[Json]) -> list[tuple[str, Any]]:
    return [(item["name"], json.loads(item["arguments"])) for item in items]


def called_custom(arguments: str, to: Provider = PROVIDERS["generic"], **fields: Any) -> Json:
    """The item of one call of apply_patch with these Chat arguments."""
    by = carry(to=to, tools=[APPLY_PATCH], **fields)
    [item] = called(delta(id="c", name="apply_patch", arguments=arguments), by=by)
    return item
