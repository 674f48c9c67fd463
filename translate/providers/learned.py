"""Learns from a provider's refusals: changes its profile so that the next request is accepted.

A lesson is a change of the profile that a user could have written, too. It drops fields, roles,
forms and foreign seals, which a request can do without; never content.
"""

import re
from collections.abc import Iterator
from typing import Any

from translate.providers.profile import Provider
from translate.wire import codec
from translate.wire.error_bodies import error_text
from translate.wire.errors import failure_rule

Json = dict[str, Any]
Change = dict[str, Any]

REFUSED = re.compile(
    r"unsupported|not (be )?(support|permit|allow|recogni|implement|accept|expect)|n't support"
    r"|unknown|unrecogni|unexpected|extra_forbidden|no such|invalid|not a valid|deprecated"
    r"|incompatible|must (be one of|not be|start with|come first)|only support|cannot be",
    re.I,
)
# The provider refuses a value, not the field, and would accept another value: no lesson.
OUT_OF_RANGE = re.compile(
    r"out of range|(less|greater|more|higher|lower|larger|smaller) than|between|at (most|least)"
    r"|too (large|small|high|low|long|many)|maximum|minimum|range of|exceed",
    re.I,
)
# Between the fields of a list: `Unexpected fields in the request: {'top_k', 'min_p'}`.
BETWEEN_NAMES = re.compile(r"(?:[\s'\"`,&]|and\b|or\b)*+")
# The fields exclude one another, so that the request needs to lose only one of them.
ONE_OF_SEVERAL = re.compile(r"\b(both|together|either|one of|same time|mutually)\b", re.I)
SUPPORTED_VALUES = re.compile(r"supported values", re.I)  # the same, in OpenAI's words
# Content and the fields that say how to read it, which are never dropped.
REQUIRED_FIELDS = frozenset(
    {"model", "messages", "input", "tools", "stream", "store", "instructions", "prompt", "text"}
)
# Inside messages, items and tools only these may be dropped: the names of other fields are common
# words, and a message that has one of them need not mean the field.
OPTIONAL_FIELDS = {
    "messages": (
        "name", "reasoning", "reasoning_content", "reasoning_details", "thinking_blocks", "refusal",
    ),
    "input": ("phase", "status"),
    "tools.function": ("strict",),
    "tools": ("strict",),
}  # fmt: skip
MISSING_REASONING = re.compile(
    r"\b(reasoning_content)\W.{0,80}(?:missing|passed back|required)"
    r"|\b(reasoning)\b[^.]{0,40}(?:missing|passed back)[^.]{0,40}(?:message|assistant)",
    re.I,
)

UNREADABLE_SEAL = re.compile(
    r"encrypted.content.{0,80}could not be (verified|decrypted)", re.I | re.S
)


def learn_from_refusal(
    provider: Provider, status: int, reply: bytes, sent: Json
) -> Provider | None:
    """The profile for another attempt after this reply to the body `sent`; None for no lesson."""
    if status not in (400, 422) or failure_rule(status, reply).code != "invalid_prompt":
        return None
    message = f"{error_text(reply)}\n{_refused_param(reply)}"
    for lesson in LESSONS:
        if change := lesson(message, provider, sent):
            return provider.model_copy(update={**change, "models": {}})
    return None


def describe_lesson(old: Provider, new: Provider) -> str:
    """The difference between two profiles in words, for logs and records."""
    words = [f"without {path}" for path in sorted(new.omits - old.omits)]
    for name in ("reasoning_back", "system_role", "late_system_role", "max_tokens"):
        if (value := getattr(new, name)) != getattr(old, name):
            words.append(f"{name} = {value}")
    words += ["without foreign_seals"] if old.foreign_seals > new.foreign_seals else []
    for name in ("tool_choices", "formats"):
        refused = getattr(old, name) - getattr(new, name)
        words += [f"without {name} {value}" for value in sorted(refused)]
    efforts = {
        effort for effort, fields in new.efforts.items() if fields == {} != old.efforts.get(effort)
    }
    words += [f"without effort {effort}" for effort in sorted(efforts)]
    return ", ".join(words)


def _learn_reasoning_back(message: str, provider: Provider, sent: Json) -> Change | None:
    """Kimi and DeepSeek behind a gateway that no table knows require their reasoning back."""
    match = MISSING_REASONING.search(message) if provider.dialect == "chat" else None
    name = (match[1] or match[2]).lower() if match else provider.reasoning_back
    return {"reasoning_back": name} if name != provider.reasoning_back else None


def _learn_seals(message: str, provider: Provider, sent: Json) -> Change | None:
    """OpenAI cannot open what it sealed for another account."""
    refused = provider.reads_foreign_seals() and UNREADABLE_SEAL.search(message)
    return {"foreign_seals": False} if refused else None


def _learn_roles(message: str, provider: Provider, sent: Json) -> Change | None:
    if not re.search(r"\brole|system message", message, re.I) or not REFUSED.search(message):
        return None
    if re.search(r"\bdeveloper\b", message, re.I) and _has_role(sent, "developer"):
        return {"system_role": "system", "late_system_role": "user"}
    is_late = provider.late_system_role != "user" and _has_role(sent, "", first=1)
    refused = is_late and re.search(r"system", message, re.I)
    return {"late_system_role": "user"} if refused else None


def _has_role(sent: Json, role: str, first: int = 0) -> bool:
    """Whether a message from the position `first` on has this role; "": system or developer."""
    messages = sent.get("messages") or sent.get("input") or []
    roles = {message.get("role") for message in messages[first:]}
    return role in roles if role else not roles.isdisjoint(("system", "developer"))


def _learn_max_tokens(message: str, provider: Provider, sent: Json) -> Change | None:
    names = ("max_tokens", "max_completion_tokens")
    for wrong, right in (names, names[::-1]):
        if wrong in sent and re.search(rf"\b{right}\b", message) and REFUSED.search(message):
            return {"max_tokens": right}
    return None


def _learn_tool_choice(message: str, provider: Provider, sent: Json) -> Change | None:
    choice = sent.get("tool_choice")
    if choice is None or "tool_choice" not in message or not REFUSED.search(message):
        return None
    form = "function" if isinstance(choice, dict) else choice
    choices = provider.tool_choices
    return {"tool_choices": choices - {form}} if form in choices else None


def _learn_format(message: str, provider: Provider, sent: Json) -> Change | None:
    form = (sent.get("response_format") or {}).get("type")
    is_named = re.search(r"response_format|json_schema", message)
    if not form or not is_named or not REFUSED.search(message):
        return None
    return {"formats": provider.formats - {form}} if form in provider.formats else None


def _learn_effort(message: str, provider: Provider, sent: Json) -> Change | None:
    """The model does not know this effort; others are still sent."""
    value: Any = sent
    field = provider.effort_field if "messages" in sent else "reasoning.effort"
    for step in field.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if not (SUPPORTED_VALUES.search(message) and "effort" in message and f"'{value}'" in message):
        return None
    efforts = {effort for effort, word in provider.efforts.items() if word == value} | {str(value)}
    return {"efforts": provider.efforts | dict.fromkeys(efforts, {})}


def _learn_field(message: str, provider: Provider, sent: Json) -> Change | None:
    """The provider names optional fields that the relay sent."""
    blames_value = OUT_OF_RANGE.search(message) or SUPPORTED_VALUES.search(message)
    if not REFUSED.search(message) or blames_value:
        return None
    words, _, param = message.rpartition("\n")
    clauses = [clause for clause in words.split("; ") if REFUSED.search(clause)]
    for texts in ([param], clauses, [words]):  # the error's own `param` counts more than its words
        paths = [path for text in texts for path in _listed_paths(text, sent)]
        if paths:
            names_value = f"{paths[0]}: {sent.get(paths[0])}" in message
            return None if names_value else {"omits": provider.omits | set(paths)}
    return None


def _listed_paths(text: str, sent: Json) -> list[str]:
    """The first field that a text names, and those that it lists after this one."""
    mentions = sorted(
        (match.span(), path)
        for path in _droppable_paths(sent)
        if (match := _find_mention(path, text))
    )
    paths: list[str] = []
    end = 0
    for (start, stop), path in mentions:
        if paths and (start < end or not BETWEEN_NAMES.fullmatch(text, end, start)):
            break
        paths.append(path)
        end = stop
    return paths[:1] if ONE_OF_SEVERAL.search(text) else paths


def _find_mention(path: str, text: str) -> re.Match[str] | None:
    """Where a text names a field, in the relay's spelling or in camelCase (xAI:
    `presencePenalty`)."""
    name = path.rpartition(".")[2]
    camel = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
    return re.search(rf"(?<![\w-])({re.escape(name)}|{re.escape(camel)})(?![\w-])", text)


def _droppable_paths(sent: Json) -> Iterator[str]:
    """The fields that a body can do without, as `Provider.omits` has them."""
    yield from sorted(sent.keys() - REQUIRED_FIELDS)
    tools = sent.get("tools", ())
    for container, objects in (
        ("messages", sent.get("messages", ())),
        ("input", sent.get("input", ())),
        ("tools.function", [tool["function"] for tool in tools if "function" in tool]),
        ("tools", tools),
    ):
        names = {name for fields in objects for name in fields}
        yield from (f"{container}.{name}" for name in OPTIONAL_FIELDS[container] if name in names)


def _refused_param(reply: bytes) -> str:
    """The `param` of an error in OpenAI's form, or ""."""
    try:
        body = codec.load_json(reply)
    except ValueError:
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else ""


# The first that returns a change counts.
LESSONS = (
    _learn_seals,
    _learn_reasoning_back,
    _learn_roles,
    _learn_max_tokens,
    _learn_tool_choice,
    _learn_format,
    _learn_effort,
    _learn_field,
)
