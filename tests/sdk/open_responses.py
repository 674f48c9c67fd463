"""The responses and events that https://www.openresponses.org requires, as JSON Schemas.

Source: schema/*.tsp in github.com/openresponses/openresponses, as of 2026-04. The schemas have the
required fields and their types; further fields are allowed.
"""

from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}


def object_of(**fields: Schema) -> Schema:
    """An object with these fields, all required except those that are `optional`."""
    required = [name for name, schema in fields.items() if not schema.get("maybe")]
    return {"type": "object", "properties": fields, "required": required}


def optional(schema: Schema) -> Schema:
    return {**schema, "maybe": True}


def null_or(*schemas: Schema) -> Schema:
    return {"anyOf": [{"type": "null"}, *schemas]}


def list_of(*schemas: Schema) -> Schema:
    return {"type": "array", "items": {"oneOf": list(schemas)}}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


STATUS = one_of("in_progress", "completed", "incomplete")
OUTPUT_TEXT = object_of(
    type=one_of("output_text"),
    text=TEXT,
    annotations={"type": "array"},
    logprobs=optional({"type": "array"}),
)
INPUT_TEXT = object_of(type=one_of("input_text"), text=TEXT)
REFUSAL = object_of(type=one_of("refusal"), refusal=TEXT)
SUMMARY = object_of(type=one_of("summary_text"), text=TEXT)
PARTS = (OUTPUT_TEXT, INPUT_TEXT, REFUSAL, SUMMARY)

MESSAGE = object_of(
    type=one_of("message"),
    id=TEXT,
    status=STATUS,
    role=one_of("user", "assistant", "system", "developer"),
    content=list_of(*PARTS),
)
CALL = object_of(
    type=one_of("function_call"), id=TEXT, call_id=TEXT, name=TEXT, arguments=TEXT, status=STATUS
)
REASONING = object_of(
    type=one_of("reasoning"),
    id=TEXT,
    summary=list_of(*PARTS),
    content=optional(list_of(*PARTS)),
    encrypted_content=optional(TEXT),
)
COMPACTION = object_of(type=one_of("compaction"), id=TEXT, encrypted_content=TEXT)
ITEM: Schema = {"oneOf": [MESSAGE, CALL, REASONING, COMPACTION]}

TOOL = object_of(
    type=one_of("function"),
    name=TEXT,
    description=null_or(TEXT),
    parameters=null_or({"type": "object"}),
    strict=null_or(FLAG),
)
CHOICE: Schema = {
    "oneOf": [
        one_of("none", "auto", "required"),
        object_of(type=one_of("function"), name=optional(TEXT)),
        object_of(
            type=one_of("allowed_tools"),
            tools={"type": "array"},
            mode=one_of("none", "auto", "required"),
        ),
    ]
}
FORMAT: Schema = {
    "oneOf": [
        object_of(type=one_of("text", "json_object")),
        object_of(type=one_of("json_schema"), name=TEXT, description=null_or(TEXT), strict=FLAG),
    ]
}
USAGE = object_of(
    input_tokens=COUNT,
    output_tokens=COUNT,
    total_tokens=COUNT,
    input_tokens_details=object_of(cached_tokens=COUNT),
    output_tokens_details=object_of(reasoning_tokens=COUNT),
)
RESPONSE = object_of(
    id=TEXT,
    object=one_of("response"),
    created_at=COUNT,
    completed_at=null_or(COUNT),
    status=TEXT,
    incomplete_details=null_or(object_of(reason=TEXT)),
    model=TEXT,
    previous_response_id=null_or(TEXT),
    instructions=null_or(TEXT),
    output={"type": "array", "items": ITEM},
    error=null_or(object_of(code=TEXT, message=TEXT)),
    tools={"type": "array", "items": TOOL},
    tool_choice=CHOICE,
    truncation=one_of("auto", "disabled"),
    parallel_tool_calls=FLAG,
    text=object_of(format=FORMAT, verbosity=optional(one_of("low", "medium", "high"))),
    top_p=NUMBER,
    presence_penalty=NUMBER,
    frequency_penalty=NUMBER,
    top_logprobs=COUNT,
    temperature=NUMBER,
    reasoning=null_or(object_of(effort=null_or(TEXT), summary=null_or(TEXT))),
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
COMPACTED = object_of(
    id=TEXT,
    object=one_of("response.compaction"),
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


def check_schema(value: object, schema: Schema) -> None:
    Draft202012Validator(schema).validate(value)


def check_event(event: dict[str, Any]) -> None:
    fields = EVENTS[event["type"]]
    check_schema(event, object_of(type=TEXT, sequence_number=COUNT, **fields))
