"""A request body, Chat → Responses: what a Chat client asks, as a Responses client would ask it.

From there on it goes the way of every Responses request, so that nothing is said of upstreams here.
"""

import re
from collections.abc import Callable
from hashlib import blake2s
from typing import Any, ClassVar, NamedTuple

from translate.mappings import logprobs, reasoning
from translate.mappings.content import image, part_to_responses
from translate.tools.kinds import CUSTOM, FUNCTION
from translate.wire import chat, codec
from translate.wire import requests as responses
from translate.wire.chat import CALL, CALLED, ChatRequest, StreamOptions
from translate.wire.errors import BadRequest
from translate.wire.requests import PART, TOOL, ResponsesRequest, check

Json = dict[str, Any]
Item = dict[str, Any]

# What is called otherwise in Responses; a dot leads into an object.
NAMES = {
    "parallel_tool_calls": "parallel_tool_calls",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "verbosity": "text.verbosity",
    "stop": "stop",
    "stream": "stream",
}
ALSO = {"text.format": "response_format", logprobs.ASKED: "logprobs"}
PARTS = ("text", "image_url", "file", "input_audio")
# Anthropic's clients say these in an object, and `any`, as Mistral's do.
CHOICES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
ID_LIMIT = 64  # of a call_id: https://platform.openai.com/docs/api-reference/responses/create
NO_PARAMETERS: Json = {"type": "object", "properties": {}}
HINT = re.compile(r"input\[(\d+)\]")


class Asked(NamedTuple):
    """A client's request in Responses terms."""

    request: ResponsesRequest
    reply: Json = {}  # how the client wants its answer: more arguments for the machine
    dropped: tuple[str, ...] = ()
    said: Callable[[str], str] = str  # a place in the request → what the client calls it
    stop: tuple[str, ...] = ()  # where the answer ends


def to_responses(body: Json) -> Asked:
    """Raises BadRequest, with the field's place, for what cannot be asked."""
    if "messages" not in body and "input" in body:
        return _asked_already(body)
    asked = chat.read(body)
    if asked.n not in (None, 1):
        raise BadRequest(f"n: {asked.n} answers are wanted, and one is given", param="n")
    walk = Messages(asked)
    extra = asked.model_extra or {}
    strange = extra.keys() & ResponsesRequest.model_fields.keys()
    made: Json = {name: value for name, value in extra.items() if name not in strange}
    made |= {"model": asked.model, "input": walk.items, "store": False}
    if walk.instructions:
        made["instructions"] = "\n\n".join(walk.instructions)
    legacy = bool(asked.functions) and not asked.tools
    made |= {"parallel_tool_calls": False} if legacy else {}  # it can tell of one call only
    made |= _tools(asked) | _settings(asked)
    dropped = [*walk.dropped, *sorted(strange), *(["store"] if asked.store else [])]
    reply = {"usage": _wants_usage(asked.stream, asked.stream_options), "legacy": legacy}
    names = ALSO | {NAMES[name]: name for name in NAMES if getattr(asked, name) is not None}

    def said(place: str) -> str:
        place = HINT.sub(lambda found: f"messages[{walk.origins[int(found[1])]}]", place)
        return names.get(place, place)

    stop = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    return Asked(responses.read(made), reply, tuple(dropped), said, tuple(filter(None, stop)))


def _asked_already(body: Json) -> Asked:
    """Cursor sends bodies of Responses to Chat endpoints (gabrii/Cursor-Azure-GPT-5#69)."""
    asked = responses.read({**body, "store": False})
    options = StreamOptions.model_validate((asked.model_extra or {}).get("stream_options") or {})
    dropped = ("store",) if body.get("store") else ()
    return Asked(asked, {"usage": _wants_usage(asked.stream, options)}, dropped)


def _wants_usage(stream: bool | None, options: StreamOptions | None) -> bool:
    return not stream or bool(options and options.include_usage)


def _settings(asked: ChatRequest) -> Json:
    made: Json = {"reasoning": dict(asked.reasoning)} if asked.reasoning else {}
    for name, place in NAMES.items():
        value = getattr(asked, name)
        outer, _, inner = place.partition(".")
        if value not in (None, ""):  # which forms send for what nobody chose
            made[outer] = made.get(outer, {}) | {inner: value} if inner else value
    if asked.response_format:
        form = flat(asked.response_format, "response_format")
        made["text"] = {**made.get("text", {}), "format": form}
    return made | ({"include": [logprobs.ASKED]} if asked.logprobs else {})


def _tools(asked: ChatRequest) -> Json:
    legacy = [{"type": "function", "function": one} for one in asked.functions or []]
    tools = [_tool(tool, f"tools[{n}]") for n, tool in enumerate([*(asked.tools or []), *legacy])]
    if asked.web_search_options is not None:
        tools.append(_search(asked.web_search_options))
    choice = asked.tool_choice or asked.function_call
    if isinstance(choice, dict) and choice.get("type") in CHOICES:
        choice = str(choice["type"])
    if isinstance(choice, str):
        choice = CHOICES.get(choice, choice)
    elif choice:
        choice = {"type": "function", **choice} if asked.tool_choice is None else choice
        choice = flat(choice, "tool_choice")
        inner = choice.get("tools") or []
        within = [flat(tool, f"tool_choice.tools[{n}]") for n, tool in enumerate(inner)]
        choice |= {"tools": within} if within else {}
    return ({"tools": tools} if tools else {}) | ({"tool_choice": choice} if choice else {})


def _tool(tool: Json, place: str) -> Json:
    made = flat(tool, place)
    if made["type"] in (FUNCTION.tool_type, CUSTOM.tool_type) and not made.get("name"):
        where = f"{place}.{made['type']}.name"
        raise BadRequest(f"{where}: is missing", param=where)
    if isinstance(form := made.get("format"), dict):
        made["format"] = flat(form, f"{place}.format")
    if made["type"] != FUNCTION.tool_type:
        return made
    # `{}` is what many say of a tool without parameters, and Responses wants an object's schema
    schema = NO_PARAMETERS | (made.get("parameters") or {})
    # strict is said in either case, as its absence means true in Responses
    return made | {"parameters": schema, "strict": bool(made.get("strict"))}


def _search(options: Json) -> Json:
    """Chat's models that search always have options for it, and no tool."""
    given = {name: value for name, value in options.items() if value is not None}
    if "user_location" in given:
        given["user_location"] = flat(given["user_location"], "web_search_options.user_location")
    return {"type": "web_search", **given}


def flat(said: Any, place: str) -> Json:
    """What Chat spells `{type, <type>: {…}}` is one object in Responses.

    Cursor sends that to Chat endpoints, too (BerriAI/litellm#34029).
    """
    check(said, TOOL, place)
    kind = str(said.get("type") or FUNCTION.tool_type)
    inner = said.get(kind) or {}
    check(inner, TOOL, f"{place}.{kind}")
    return {"type": kind} | {k: v for k, v in said.items() if k not in ("type", kind)} | inner


class Messages:
    """Walks the messages once; ROLES says what each role does."""

    def __init__(self, asked: ChatRequest) -> None:
        self.instructions: list[str] = []
        self.items: list[Item] = []
        self.origins: list[int] = []  # of each item, its message
        self.dropped: list[str] = []
        self._outputs: dict[str, str] = {}  # call id → type of its output
        self._legacy: dict[str, str] = {}  # function → id of its latest call
        for position, message in enumerate(asked.messages):
            role, place = message.get("role"), f"messages[{position}]"
            if (handler := self.ROLES.get(str(role))) is None:
                where = f"{place}.role"
                raise BadRequest(f"{where}: {role!r} is not a role", param=where)
            if message.get("name") and role not in ("tool", "function"):  # their calls say it
                self.dropped.append(f"{place}.name")
            made = handler(self, message, place)
            self.items += made
            self.origins += [position] * len(made)
        if not self.items and not self.instructions:
            raise BadRequest("messages: hold nothing to answer", param="messages")

    def _system(self, message: Json, place: str) -> list[Item]:
        """The leading ones are the instructions; later ones stay in their place."""
        parts = self._parts(message.get("content"), place, ("text",))
        if not self.items:
            self.instructions += [text] if (text := _text(parts)) else []
            return []
        return _message("developer", parts)

    def _user(self, message: Json, place: str) -> list[Item]:
        return _message("user", self._parts(message.get("content"), place))

    def _assistant(self, message: Json, place: str) -> list[Item]:
        made = reasoning.items(message)
        if reasoning.foreign(message):
            self.dropped.append(f"{place}.{reasoning.DETAILS}")
        said = self._parts(message.get("content"), place, ("text", "refusal"))
        if refusal := message.get("refusal"):
            said.append({"type": "refusal", "refusal": refusal})
        said = [part | {"type": SAID.get(part["type"], part["type"])} for part in said]
        made += _message("assistant", said)
        for number, call in enumerate(message.get("tool_calls") or []):
            made.append(self._call(call, f"{place}.tool_calls[{number}]"))
        if legacy := message.get("function_call"):
            made.append(self._called(legacy, f"{place}.function_call"))
        self.dropped += [f"{place}.{name}" for name in ("audio", "images") if message.get(name)]
        return made

    def _call(self, call: Any, place: str) -> Item:
        check(call, CALL, place)
        kind = CUSTOM if call.get("type") == CUSTOM.tool_type else FUNCTION
        inner, field = call.get(kind.tool_type) or {}, str(kind.live)
        check(inner, CALLED, f"{place}.{kind.tool_type}")
        id_ = shortened(call.get("id") or "")
        self._outputs[id_] = kind.output_type
        said = inner.get(field) or EMPTY[field]
        said = said if isinstance(said, str) else codec.text(said)
        named = {"call_id": id_, "name": inner.get("name") or "unknown"}
        return {"type": kind.call_type, **named, field: said}

    def _called(self, function: Json, place: str) -> Item:
        """A call of the time before tools, which had no ids."""
        id_ = f"call_{len(self.items)}"
        item = self._call({"id": id_, "function": function}, place)
        self._legacy[item["name"]] = id_
        return item

    def _tool(self, message: Json, place: str) -> list[Item]:
        return self._output(message, message.get("tool_call_id") or "", place)

    def _function(self, message: Json, place: str) -> list[Item]:
        return self._output(message, self._legacy.get(message.get("name") or "", ""), place)

    def _output(self, message: Json, call: str, place: str) -> list[Item]:
        id_ = shortened(call)
        parts = self._parts(message.get("content"), place)
        plain = all(part["type"] == "input_text" for part in parts)
        output = _text(parts) if plain else parts
        kind = self._outputs.get(id_, FUNCTION.output_type)
        return [{"type": kind, "call_id": id_, "output": output}]

    def _parts(self, content: Any, place: str, taken: tuple[str, ...] = PARTS) -> list[Item]:
        if isinstance(content, str):
            return [{"type": "input_text", "text": content}] if content else []
        made = []
        for number, part in enumerate(content or []):
            here = f"{place}.content[{number}]"
            check(part, PART, here)
            kind = str(part.get("type"))
            inner = part.get(kind) if kind in taken else None
            if kind in taken and SHAPES[kind](inner):
                made += [part_to_responses(part)] if inner else []
            else:
                self.dropped.append(f"{here} ({kind})")
        return made

    ROLES: ClassVar[dict[str, Callable[["Messages", Json, str], list[Item]]]] = {
        "system": _system,
        "developer": _system,
        "user": _user,
        "assistant": _assistant,
        "tool": _tool,
        "function": _function,
    }


EMPTY = {"arguments": "{}", "input": ""}  # some servers stream no arguments for a call without any
SAID = {"input_text": "output_text"}
SHAPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda inner: isinstance(inner, str),
    "refusal": lambda inner: isinstance(inner, str),
    "image_url": lambda inner: isinstance(image(inner).get("url"), str),
    "file": lambda inner: isinstance(inner, dict),
    "input_audio": lambda inner: isinstance(inner, dict),
}


def shortened(id: str) -> str:
    """A call's id as Responses takes it, always the same."""
    if len(id) <= ID_LIMIT:
        return id
    return f"call_{blake2s(id.encode('utf-8', 'replace'), digest_size=16).hexdigest()}"


def _message(role: str, parts: list[Item]) -> list[Item]:
    return [{"type": "message", "role": role, "content": parts}] if parts else []


def _text(parts: list[Item]) -> str:
    return "\n".join(part["text"] for part in parts)
