"""The table of probes: what is sent, and who judges the reply.

Each request differs from one that the endpoint has served in one thing only, so that a refusal is
about that thing. Fields may depend on what was measured before; None takes a field out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import judges
from .chat_reply import THINK_START, ChatCall, ChatReply, RecordedReply
from .findings import Measurements
from .judges import Judge, judge_acceptance
from .pictures import picture_url

Json = dict[str, Any]
type Fields = Json | Callable[[Measurements], Json]

FEW_TOKENS = 16  # where only the status counts
MOST_TOKENS = 800  # where the model must get to its answer, some after thinking
SMALL_LIMIT = f"limit of {FEW_TOKENS} tokens"  # the probe of whether so few may be asked for
HUGE_LIMIT = 100_000_000  # tokens, above any context window


def applies_always(measurements: Measurements) -> bool:
    return True


@dataclass(frozen=True)
class Probe:
    """One request, and what its reply shows."""

    name: str
    group: str
    fields: Fields
    judge: Judge = judge_acceptance
    tokens: int = FEW_TOKENS  # limit of the reply
    applies: Callable[[Measurements], bool] = applies_always  # else the probe is left out
    bundle: str = ""  # probes of one bundle go together first, and one by one if that is refused
    expects_error: bool = False  # an error of any status is the finding
    has_wrong_key: bool = False
    option: str = ""  # the probe runs only with this option of the command

    def build_fields(self, measurements: Measurements) -> Json:
        return self.fields if isinstance(self.fields, dict) else self.fields(measurements)


# Messages and tools


def user_message(content: Any) -> Json:
    return {"role": "user", "content": content}


PLAIN_MESSAGES = [user_message("Answer with the word ready, and with nothing else.")]
WEATHER_PROMPT = user_message("What is the weather in Oslo? Look it up with the tool.")
WEATHER_RESULT = "Oslo: 7 degrees, light rain. Name of the station: walnut."
GREETING = user_message("Say hello.")
MAPLE = "End each answer with the word maple."
COLOUR = user_message("Name a colour.")


def function_tool(name: str, parameters: Json, **fields: Any) -> Json:
    description = fields.pop("description", "Looks up the weather of a town.")
    function = {"name": name, "description": description, "parameters": parameters, **fields}
    return {"type": "function", "function": function}


def object_schema(properties: Json, **keywords: Any) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        **keywords,
    }


TOWN = {"town": {"type": "string", "description": "Name of the town"}}
WEATHER = function_tool("look_up_weather", object_schema(TOWN))
TWO_TOWNS = user_message(
    "What is the weather in Oslo and in Lima? Call the tool for both towns at once, in one answer."
)
CLOSED_TOWN = object_schema(TOWN, additionalProperties=False)
OPEN_TOWN = {
    **CLOSED_TOWN,
    "properties": {**TOWN, "country": {"type": "string"}},
}


def weather_fields(**fields: Any) -> Json:
    return {"messages": [WEATHER_PROMPT], "tools": [WEATHER], **fields}


def weather_reply(measurements: Measurements, call_id: str = "") -> ChatReply:
    """The endpoint's own call, or an invented one if the model made none, or with this id."""
    own = measurements.replies.get("tool call")
    call = own.calls[0] if own and own.calls else None
    if call and call.id and not call_id:
        return ChatReply(RecordedReply(), text=own.text if own else "", calls=(call,))
    invented = ChatCall(call_id or "probe0001", "look_up_weather", '{"town": "Oslo"}')
    return ChatReply(RecordedReply(), calls=(invented,))


def result_fields(measurements: Measurements, reasoning: Json, call_id: str = "") -> Json:
    """A tool call and its result."""
    reply = weather_reply(measurements, call_id)
    answer = {"role": "tool", "tool_call_id": reply.calls[0].id, "content": WEATHER_RESULT}
    question = user_message(
        "What is the weather in Oslo, and what is the name of the station? Use the tool."
    )
    messages = [question, reply.assistant_message(reasoning), answer]
    return {"messages": messages, "tools": [WEATHER]}


def own_reasoning(measurements: Measurements) -> Json:
    """The thinking before the tool call."""
    reply = measurements.replies.get("tool call")
    return reply.reasoning if reply else {}


def needed_reasoning(measurements: Measurements) -> Json:
    """The thinking that must go back with a call."""
    return {} if measurements.is_served("tool result") else own_reasoning(measurements)


def tagged_reasoning(measurements: Measurements) -> Json:
    return {THINK_START: "The tool knows the weather."}


def foreign_id_fields(call_id: str) -> Fields:
    return lambda measurements: result_fields(measurements, needed_reasoning(measurements), call_id)


def has_tools(measurements: Measurements) -> bool:
    return measurements.is_served("tool call")


def has_result(measurements: Measurements) -> bool:
    return measurements.is_served("tool result", "reasoning goes back")


def choice_probe(name: str, choice: Any, message: Json, judge: Judge) -> Probe:
    fields = weather_fields(messages=[message], tool_choice=choice)
    return Probe(f"tool_choice {name}", "tools", fields, judge, MOST_TOKENS, has_tools)


TOOLS = "tools"
LONGEST_DESCRIPTION = 1024
NAMED_CHOICE = {"type": "function", "function": {"name": "look_up_weather"}}
TOOL_PROBES = (
    Probe("tool call", TOOLS, weather_fields(), judges.judge_call, MOST_TOKENS),
    Probe(
        *("tool result", TOOLS, lambda measured: result_fields(measured, {})),
        *(judges.judge_word("walnut"), MOST_TOKENS, has_tools),
    ),
    Probe(
        "reasoning goes back",
        "reasoning",
        lambda measured: result_fields(measured, own_reasoning(measured)),
        judges.judge_word("walnut"),
        MOST_TOKENS,
        lambda measured: has_tools(measured) and bool(own_reasoning(measured)),
    ),
    Probe(
        "reasoning goes back as <think>",
        "reasoning",
        lambda measured: result_fields(measured, tagged_reasoning(measured)),
        judges.judge_word("walnut"),
        MOST_TOKENS,
        lambda measured: measured.is_refused("reasoning goes back"),
    ),
    Probe(
        *("foreign call id", TOOLS, foreign_id_fields("call_0123456789abcdef")),
        applies=has_result,
    ),
    Probe(
        *("call id of nine characters", TOOLS, foreign_id_fields("aB3dE6gH9")),
        applies=lambda measured: measured.is_refused("foreign call id"),
    ),
    Probe(
        *("parallel calls", TOOLS, weather_fields(messages=[TWO_TOWNS])),
        *(judges.judge_two_calls, MOST_TOKENS, has_tools),
    ),
    Probe(
        "parallel_tool_calls true",
        TOOLS,
        weather_fields(messages=[TWO_TOWNS], parallel_tool_calls=True),
        *(judges.judge_two_calls, MOST_TOKENS, has_tools),
    ),
    Probe(
        "parallel_tool_calls false",
        TOOLS,
        weather_fields(messages=[TWO_TOWNS], parallel_tool_calls=False),
        applies=has_tools,
    ),
    choice_probe("none", "none", WEATHER_PROMPT, judges.judge_no_call),
    choice_probe("required", "required", GREETING, judges.judge_forced_call),
    choice_probe("function", NAMED_CHOICE, GREETING, judges.judge_forced_call),
    Probe(
        "strict",
        TOOLS,
        weather_fields(tools=[function_tool("look_up_weather", CLOSED_TOWN, strict=True)]),
        applies=has_tools,
    ),
    Probe(
        "strict with an optional field",
        TOOLS,
        weather_fields(tools=[function_tool("look_up_weather", OPEN_TOWN, strict=True)]),
        applies=lambda measured: measured.is_served("strict"),
    ),
    Probe(
        "long tool description",
        TOOLS,
        weather_fields(
            tools=[
                function_tool(
                    "look_up_weather",
                    object_schema(TOWN),
                    description="Looks up the weather. ".ljust(LONGEST_DESCRIPTION + 1, "."),
                )
            ]
        ),
        applies=has_tools,
    ),
)

# Basics

BASIC_PROBES = (
    Probe(
        "max_tokens",
        "basics",
        {"max_completion_tokens": None, "max_tokens": MOST_TOKENS},
        judges.judge_text,
        MOST_TOKENS,
    ),
    Probe(
        "max_completion_tokens",
        "basics",
        {"max_tokens": None, "max_completion_tokens": MOST_TOKENS},
        judges.judge_text,
        MOST_TOKENS,
    ),
    Probe(SMALL_LIMIT, "basics", {}),
    Probe("stream_options", "streaming", {"stream_options": {"include_usage": True}}),
    Probe(
        "whole reply",
        "basics",
        {"stream": False, "stream_options": None},
        judges.judge_text,
        MOST_TOKENS,
    ),
    Probe("unknown field", "basics", {"mitmcodex_probe": True}, judges.judge_unknown_field),
)

# Roles

ROLE_PROBES = (
    *(
        Probe(
            f"{role} role",
            "roles",
            {"messages": [{"role": role, "content": MAPLE}, COLOUR]},
            judges.judge_word("maple"),
            MOST_TOKENS,
        )
        for role in ("system", "developer")
    ),
    *(
        Probe(
            f"late {role}",
            "roles",
            {
                "messages": [
                    COLOUR,
                    {"role": "assistant", "content": "Green."},
                    {"role": role, "content": MAPLE},
                    user_message("Name another colour."),
                ]
            },
            judges.judge_word("maple"),
            MOST_TOKENS,
            lambda measured, first=f"{role} role": measured.is_served(first),  # type: ignore[misc]  # bound early
        )
        for role in ("system", "developer")
    ),
    Probe("two user messages", "roles", {"messages": [user_message("Hello."), GREETING]}),
    Probe("name of a user", "roles", {"messages": [{**GREETING, "name": "anna"}]}),
)

# Images


PICTURE_QUESTION = "Which two colours has this picture, above and below? Answer with two words."


def picture_fields(media_type: str) -> Json:
    picture = {"type": "image_url", "image_url": {"url": picture_url(media_type)}}
    return {"messages": [user_message([{"type": "text", "text": PICTURE_QUESTION}, picture])]}


def image_probe(media_type: str, **fields: Any) -> Probe:
    return Probe(media_type, "images", lambda measured: picture_fields(media_type), **fields)


IMAGE_PROBES = (
    image_probe("image/png", judge=judges.judge_colours, tokens=MOST_TOKENS),
    *(
        image_probe(media_type, applies=lambda measured: measured.is_served("image/png"))
        for media_type in ("image/jpeg", "image/gif", "image/webp")
    ),
)

# Parameters

SAMPLING: Json = {
    "temperature": 0.7,
    "top_p": 0.9,
    "seed": 7,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "logit_bias": {"100": -1},
}
OPTIONAL: Json = {
    "user": "mitmcodex-probe",
    "prompt_cache_key": "mitmcodex-probe",
    "service_tier": "auto",
    "metadata": {"purpose": "probe"},
    "safety_identifier": "mitmcodex-probe",
    "verbosity": "low",
}
COUNT = user_message("Count from 1 to 9, with a space between the numbers.")
PARAMETER_PROBES = (
    *(Probe(name, "parameters", {name: SAMPLING[name]}, bundle="sampling") for name in SAMPLING),
    Probe(
        "stop", "parameters", {"messages": [COUNT], "stop": ["5"]}, judges.judge_stop, MOST_TOKENS
    ),
    *(Probe(name, "parameters", {name: OPTIONAL[name]}, bundle="optional") for name in OPTIONAL),
    Probe("logprobs", "parameters", {"logprobs": True, "top_logprobs": 2}, judges.judge_logprobs),
)

JSON_PROMPT = user_message('Write a JSON object with the key "town" and the value "Oslo".')
CODE_SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "string", "enum": ["k7"]}},
    "required": ["code"],
    "additionalProperties": False,
}
FORMAT_PROBES = (
    Probe(
        "json_object",
        "formats",
        {"messages": [JSON_PROMPT], "response_format": {"type": "json_object"}},
        judges.judge_json,
        MOST_TOKENS,
    ),
    Probe(
        "json_schema",
        "formats",
        {
            "messages": [user_message("Write a JSON object about the town of Oslo.")],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "town", "schema": CODE_SCHEMA, "strict": True},
            },
        },
        judges.judge_schema,
        MOST_TOKENS,
    ),
)

# The lowest first. Those after the first three only if one of these is served.
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")
COMMON_EFFORTS = ("low", "medium", "high")


def has_efforts(measurements: Measurements) -> bool:
    return measurements.is_served(*map(effort_name, COMMON_EFFORTS))


def effort_name(effort: str) -> str:
    return f"reasoning_effort {effort}"


EFFORT_PROBES = tuple(
    Probe(
        effort_name(effort),
        "reasoning",
        {"reasoning_effort": effort},
        applies=applies_always if effort in COMMON_EFFORTS else has_efforts,
    )
    for effort in sorted(EFFORTS, key=lambda effort: effort not in COMMON_EFFORTS)
)

# Schema keywords: the schema of one property, and the keywords that it shows to be accepted.

STRING = {"type": "string"}
SCHEMAS: dict[str, tuple[Json, tuple[str, ...]]] = {
    "$ref": ({"$ref": "#/$defs/Town"}, ("$defs", "$ref")),
    "anyOf": ({"anyOf": [STRING, {"type": "integer"}]}, ("anyOf",)),
    "oneOf": ({"oneOf": [STRING, {"type": "integer"}]}, ("oneOf",)),
    "allOf": ({"allOf": [STRING]}, ("allOf",)),
    "anyOf beside type": ({"type": "string", "anyOf": [STRING]}, ()),
    "list of types": ({"type": ["string", "null"]}, ()),
    "nullable": ({"type": "string", "nullable": True}, ()),
    "const": ({"const": "k7"}, ("const",)),
    "enum of numbers": ({"type": "integer", "enum": [1, 2]}, ()),
    "pattern": ({"type": "string", "pattern": "^[a-z]+$"}, ("pattern",)),
    "format": ({"type": "string", "format": "date"}, ("format",)),
    "default": ({"type": "string", "default": "Oslo"}, ("default",)),
    "title": ({"type": "string", "title": "Town"}, ("title",)),
    "additionalProperties": (
        object_schema({"name": STRING}, additionalProperties=False),
        ("additionalProperties",),
    ),
    "empty properties": ({"type": "object", "properties": {}}, ()),
    "lengths": (
        {"type": "array", "items": {**STRING, "minLength": 1, "maxLength": 9}, "minItems": 1,
         "maxItems": 9},
        ("maxItems", "maxLength", "minItems", "minLength"),
    ),
    "ranges": ({"type": "integer", "minimum": 1, "maximum": 9}, ("maximum", "minimum")),
}  # fmt: skip
PLAIN_KEYWORDS = ("description", "enum", "items", "properties", "required", "type")


def schema_name(keyword: str) -> str:
    return f"schema: {keyword}"


def schema_probe(number: int, keyword: str) -> Probe:
    schema, _ = SCHEMAS[keyword]
    definitions = {"$defs": {"Town": STRING}} if "$ref" in schema else {}
    parameters = object_schema({"town": schema}, **definitions)
    tools = [function_tool(f"tool_{number}", parameters)]
    return Probe(
        schema_name(keyword),
        "schemas",
        {"messages": [GREETING], "tools": tools},
        applies=has_tools,
        bundle="schemas",
    )


SCHEMA_PROBES = tuple(schema_probe(number, keyword) for number, keyword in enumerate(SCHEMAS))

# Errors and the context window


def limit_fields(measurements: Measurements) -> Json:
    return {measurements.limit_field: HUGE_LIMIT}


UNKNOWN_LENGTH = 300_000  # tokens; more than most windows
WORDS_PER_LINE = 20


def long_fields(measurements: Measurements) -> Json:
    """A request that is longer than the context window, as far as that is known."""
    tokens = int(1.1 * (measurements.context_window or UNKNOWN_LENGTH))
    line = "river " * (WORDS_PER_LINE - 1) + "stone\n"
    text = line * (tokens // WORDS_PER_LINE)
    return {"messages": [user_message(f"{text}Say hello.")]}


OTHER_PROBES = (
    Probe(
        "unknown model",
        "errors",
        {"model": "mitmcodex-no-such-model"},
        judges.judge_unknown_model,
        expects_error=True,
    ),
    Probe("limit above the window", "context window", limit_fields),
)
OPTION_PROBES = (
    Probe(
        "wrong key",
        "errors",
        {},
        judges.judge_wrong_key,
        expects_error=True,
        has_wrong_key=True,
        option="errors",
    ),
    Probe(
        "request above the window",
        "context window",
        long_fields,
        judges.judge_long_request,
        option="window",
    ),
)

ALL_PROBES = (
    *(*BASIC_PROBES, *TOOL_PROBES, *ROLE_PROBES, *IMAGE_PROBES, *PARAMETER_PROBES),
    *(*FORMAT_PROBES, *EFFORT_PROBES, *OTHER_PROBES, *SCHEMA_PROBES, *OPTION_PROBES),
)


def build_request(probe: Probe, measurements: Measurements) -> Json:
    """The body of a probe's request."""
    return complete_request(probe.build_fields(measurements), probe.tokens, measurements)


def build_bundle(probes: Iterable[Probe], measurements: Measurements) -> Json:
    """The body of one request with the fields of several probes."""
    fields: Json = {}
    for probe in probes:
        for name, value in probe.build_fields(measurements).items():
            joins = isinstance(value, list) and name == "tools"
            fields[name] = [*fields.get(name, []), *value] if joins else value
    return complete_request(fields, FEW_TOKENS, measurements)


def complete_request(fields: Json, tokens: int, measurements: Measurements) -> Json:
    if tokens == FEW_TOKENS and measurements.is_refused(SMALL_LIMIT):
        tokens = MOST_TOKENS
    body = {
        "model": measurements.endpoint.model,
        "messages": PLAIN_MESSAGES,
        **measurements.stream_fields,
        measurements.limit_field: tokens,
        **fields,
    }
    return {name: value for name, value in body.items() if value is not None}
