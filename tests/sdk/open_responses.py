"""What https://www.openresponses.org requires of what we send, as JSON Schemas of our own wording.

Of its specification as of 2026-04 (schema/*.tsp in github.com/openresponses/openresponses): which
fields must be there, and their types. Fields beyond these are allowed.
"""

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}


def obj(**fields: Schema) -> Schema:
    """An object in which all of these must be, unless their schema says `maybe`."""
    required = [name for name, schema in fields.items() if not schema.get("maybe")]
    return {"type": "object", "properties": fields, "required": required}


def maybe(schema: Schema) -> Schema:
    return {**schema, "maybe": True}


def null_or(*schemas: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, *schemas]}


def several(*schemas: Schema) -> Schema:
    return {"type": "array", "items": {"oneOf": list(schemas)}}


def is_(*values: str) -> Schema:
    return {"enum": list(values)}


STATUS = is_("in_progress", "completed", "incomplete")
OUTPUT_TEXT = obj(
    type=is_("output_text"),
    text=TEXT,
    annotations={"type": "array"},
    logprobs=maybe({"type": "array"}),
)
INPUT_TEXT = obj(type=is_("input_text"), text=TEXT)
REFUSAL = obj(type=is_("refusal"), refusal=TEXT)
SUMMARY = obj(type=is_("summary_text"), text=TEXT)
PARTS = (OUTPUT_TEXT, INPUT_TEXT, REFUSAL, SUMMARY)

MESSAGE = obj(
    type=is_("message"),
    id=TEXT,
    status=STATUS,
    role=is_("user", "assistant", "system", "developer"),
    content=several(*PARTS),
)
CALL = obj(
    type=is_("function_call"), id=TEXT, call_id=TEXT, name=TEXT, arguments=TEXT, status=STATUS
)
REASONING = obj(
    type=is_("reasoning"),
    id=TEXT,
    summary=several(*PARTS),
    content=maybe(several(*PARTS)),
    encrypted_content=maybe(TEXT),
)
COMPACTION = obj(type=is_("compaction"), id=TEXT, encrypted_content=TEXT)
ITEM: Schema = {"oneOf": [MESSAGE, CALL, REASONING, COMPACTION]}

TOOL = obj(
    type=is_("function"),
    name=TEXT,
    description=null_or(TEXT),
    parameters=null_or({"type": "object"}),
    strict=null_or(FLAG),
)
CHOICE: Schema = {
    "oneOf": [
        is_("none", "auto", "required"),
        obj(type=is_("function"), name=maybe(TEXT)),
        obj(
            type=is_("allowed_tools"),
            tools={"type": "array"},
            mode=is_("none", "auto", "required"),
        ),
    ]
}
FORMAT: Schema = {
    "oneOf": [
        obj(type=is_("text", "json_object")),
        obj(type=is_("json_schema"), name=TEXT, description=null_or(TEXT), strict=FLAG),
    ]
}
USAGE = obj(
    input_tokens=COUNT,
    output_tokens=COUNT,
    total_tokens=COUNT,
    input_tokens_details=obj(cached_tokens=COUNT),
    output_tokens_details=obj(reasoning_tokens=COUNT),
)
RESPONSE = obj(
    id=TEXT,
    object=is_("response"),
    created_at=COUNT,
    completed_at=null_or(COUNT),
    status=TEXT,
    incomplete_details=null_or(obj(reason=TEXT)),
    model=TEXT,
    previous_response_id=null_or(TEXT),
    instructions=null_or(TEXT),
    output={"type": "array", "items": ITEM},
    error=null_or(obj(code=TEXT, message=TEXT)),
    tools={"type": "array", "items": TOOL},
    tool_choice=CHOICE,
    truncation=is_("auto", "disabled"),
    parallel_tool_calls=FLAG,
    text=obj(format=FORMAT, verbosity=maybe(is_("low", "medium", "high"))),
    top_p=NUMBER,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    top_logprobs=COUNT,
    temperature=NUMBER,
    reasoning=null_or(obj(effort=null_or(TEXT), summary=null_or(TEXT))),
    user=null_or(TEXT),
    usage=null_or(USAGE),
    max_output_tokens=null_or(COUNT),
    max_tool_calls=null_or(COUNT),
    store=FLAG,
    background=FLAG,
    service_tier=TEXT,
    metadata={},
    safety_identifier=null_or(TEXT),
    prompt_cache_key=null_or(TEXT),
)
COMPACTED = obj(
    id=TEXT,
    object=is_("response.compaction"),
    created_at=COUNT,
    output={"type": "array", "items": ITEM},
    usage=USAGE,
)

AT: Schema = {"item_id": TEXT, "output_index": COUNT}
IN_CONTENT: Schema = {**AT, "content_index": COUNT}
IN_SUMMARY: Schema = {**AT, "summary_index": COUNT}
PART: Schema = {"oneOf": list(PARTS)}
EVENTS: dict[str, dict[str, Schema]] = {
    **dict.fromkeys(
        (
            *("response.created", "response.in_progress", "response.completed"),
            *("response.incomplete", "response.failed"),
        ),
        {"response": RESPONSE},
    ),
    **dict.fromkeys(
        ("response.output_item.added", "response.output_item.done"),
        {"output_index": COUNT, "item": ITEM},
    ),
    **dict.fromkeys(
        ("response.content_part.added", "response.content_part.done"),
        {**IN_CONTENT, "part": PART},
    ),
    **dict.fromkeys(
        ("response.reasoning_summary_part.added", "response.reasoning_summary_part.done"),
        {**IN_SUMMARY, "part": PART},
    ),
    "response.output_text.delta": {**IN_CONTENT, "delta": TEXT},
    "response.output_text.done": {**IN_CONTENT, "text": TEXT},
    "response.refusal.delta": {**IN_CONTENT, "delta": TEXT},
    "response.refusal.done": {**IN_CONTENT, "refusal": TEXT},
    "response.reasoning_summary_text.delta": {**IN_SUMMARY, "delta": TEXT},
    "response.reasoning_summary_text.done": {**IN_SUMMARY, "text": TEXT},
    "response.function_call_arguments.delta": {**AT, "delta": TEXT},
    "response.function_call_arguments.done": {**AT, "arguments": TEXT},
}


def conforms(value: object, schema: Schema) -> None:
    Draft202012Validator(schema).validate(value)


def event_conforms(event: dict[str, Any]) -> None:
    fields = EVENTS[event["type"]]
    conforms(event, obj(type=TEXT, sequence_number=COUNT, **fields))
