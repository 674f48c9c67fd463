"""What a provider's refusal teaches: its profile, with what it did not take left out.

Only of fields, roles, forms and foreign seals, which a request can do without; never of content. A
lesson is a change of the profile like one that a user would write.
"""

import re
from collections.abc import Iterator
from typing import Any

from translate.providers.profile import Provider
from translate.wire import codec
from translate.wire.errors import failure, said_by

Json = dict[str, Any]
Change = dict[str, Any]

REFUSED = re.compile(
    r"unsupported|not (be )?(support|permit|allow|recogni|implement|accept|expect)|n't support"
    r"|unknown|unrecogni|unexpected|extra_forbidden|no such|invalid|not a valid|deprecated"
    r"|incompatible|must (be one of|not be|start with|come first)|only support|cannot be",
    re.I,
)
# The value is wrong and not the field: another value would be taken, so there is nothing to learn.
RANGE = re.compile(
    r"out of range|(less|greater|more|higher|lower|larger|smaller) than|between|at (most|least)"
    r"|too (large|small|high|low|long|many)|maximum|minimum|range of|exceed",
    re.I,
)
VALUES = re.compile(r"supported values", re.I)  # the same, in OpenAI's words
# Content, and what says how to read it: never left out.
NEEDED = frozenset(
    {"model", "messages", "input", "tools", "stream", "store", "instructions", "prompt", "text"}
)
# Inside messages, items and tools only these may go: of anything else a word in a sentence of the
# provider's is no proof that it means the field.
SPARE = {
    "messages": ("name", "reasoning", "reasoning_content", "reasoning_details", "refusal"),
    "input": ("phase", "status"),
    "tools.function": ("strict",),
    "tools": ("strict",),
}
THINKING = re.compile(
    r"\b(reasoning_content)\W.{0,80}(?:missing|passed back|required)"
    r"|\b(reasoning)\b[^.]{0,40}(?:missing|passed back)[^.]{0,40}(?:message|assistant)",
    re.I,
)

SEALED = re.compile(r"encrypted.content.{0,80}could not be (verified|decrypted)", re.I | re.S)


def learn(provider: Provider, status: int, reply: bytes, sent: Json) -> Provider | None:
    """The profile for asking again, after this reply to this body; None: nothing to learn."""
    if status not in (400, 422) or failure("", status, reply).code != "invalid_prompt":
        return None
    said = f"{said_by(reply)}\n{_param(reply)}"
    for lesson in LESSONS:
        if change := lesson(said, provider, sent):
            return provider.model_copy(update={**change, "models": {}})
    return None


def told(before: Provider, after: Provider) -> str:
    """What was learned, in words."""
    new = [f"without {path}" for path in sorted(after.omits - before.omits)]
    for name in ("reasoning_back", "system_role", "late_system_role", "max_tokens"):
        if (value := getattr(after, name)) != getattr(before, name):
            new.append(f"{name} = {value}")
    new += ["without foreign_seals"] if before.foreign_seals > after.foreign_seals else []
    for name in ("tool_choices", "formats"):
        gone = getattr(before, name) - getattr(after, name)
        new += [f"without {name} {one}" for one in sorted(gone)]
    left = {
        word for word, meant in after.efforts.items() if meant == {} != before.efforts.get(word)
    }
    new += [f"without effort {word}" for word in sorted(left)]
    return ", ".join(new)


def _thinking(said: str, provider: Provider, sent: Json) -> Change | None:
    """Kimi and DeepSeek behind a gateway that no table knows."""
    found = THINKING.search(said) if provider.dialect == "chat" else None
    name = (found[1] or found[2]).lower() if found else provider.reasoning_back
    return {"reasoning_back": name} if name != provider.reasoning_back else None


def _seals(said: str, provider: Provider, sent: Json) -> Change | None:
    """What another account was given sealed: "could not be verified", "could not be decrypted"."""
    refused = provider.reads_foreign_seals() and SEALED.search(said)
    return {"foreign_seals": False} if refused else None


def _role(said: str, provider: Provider, sent: Json) -> Change | None:
    if not re.search(r"\brole|system message", said, re.I) or not REFUSED.search(said):
        return None
    if re.search(r"\bdeveloper\b", said, re.I) and _has_role(sent, "developer"):
        return {"system_role": "system", "late_system_role": "user"}
    late = provider.late_system_role != "user" and _has_role(sent, "", first=1)
    return {"late_system_role": "user"} if late and re.search(r"system", said, re.I) else None


def _has_role(sent: Json, role: str, first: int = 0) -> bool:
    said = sent.get("messages") or sent.get("input") or []
    roles = {message.get("role") for message in said[first:]}
    return role in roles if role else not roles.isdisjoint(("system", "developer"))


def _max_tokens(said: str, provider: Provider, sent: Json) -> Change | None:
    names = ("max_tokens", "max_completion_tokens")
    for wrong, right in (names, names[::-1]):
        if wrong in sent and re.search(rf"\b{right}\b", said) and REFUSED.search(said):
            return {"max_tokens": right}
    return None


def _tool_choice(said: str, provider: Provider, sent: Json) -> Change | None:
    choice = sent.get("tool_choice")
    if choice is None or "tool_choice" not in said or not REFUSED.search(said):
        return None
    form = "function" if isinstance(choice, dict) else choice
    return (
        {"tool_choices": provider.tool_choices - {form}} if form in provider.tool_choices else None
    )


def _format(said: str, provider: Provider, sent: Json) -> Change | None:
    form = (sent.get("response_format") or {}).get("type")
    if not form or not re.search(r"response_format|json_schema", said) or not REFUSED.search(said):
        return None
    return {"formats": provider.formats - {form}} if form in provider.formats else None


def _effort(said: str, provider: Provider, sent: Json) -> Change | None:
    """A word that this model does not know; clients with another one are served as before."""
    depth: Any = sent
    for name in (provider.effort_field if "messages" in sent else "reasoning.effort").split("."):
        depth = depth.get(name) if isinstance(depth, dict) else None
    if not (VALUES.search(said) and "effort" in said and f"'{depth}'" in said):
        return None
    words = {word for word, meant in provider.efforts.items() if meant == depth} | {str(depth)}
    return {"efforts": provider.efforts | dict.fromkeys(words, {})}


def _field(said: str, provider: Provider, sent: Json) -> Change | None:
    """A field that we sent, that the provider names, and that is not the content itself."""
    if not REFUSED.search(said) or RANGE.search(said) or VALUES.search(said):
        return None
    words, _, param = said.rpartition("\n")
    for text in (param, words):  # the field that is named apart is the one that is meant
        named = [(at.start(), path) for path in _paths(sent) if (at := _names(path, text))]
        path = min(named, default=(0, ""))[1]
        if path:
            of_value = f"{path}: {sent.get(path)}" in said
            return None if of_value else {"omits": provider.omits | {path}}
    return None


def _names(path: str, said: str) -> re.Match[str] | None:
    """Where a field is named, in our spelling or in camelCase (xAI: `presencePenalty`)."""
    name = path.rpartition(".")[2]
    camel = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
    return re.search(rf"(?<![\w-])({re.escape(name)}|{re.escape(camel)})(?![\w-])", said)


def _paths(sent: Json) -> Iterator[str]:
    """The fields of a body that it can do without, as `Provider.omits` has them."""
    yield from sorted(sent.keys() - NEEDED)
    tools = sent.get("tools", ())
    for place, found in (
        ("messages", sent.get("messages", ())),
        ("input", sent.get("input", ())),
        ("tools.function", [tool["function"] for tool in tools if "function" in tool]),
        ("tools", tools),
    ):
        names = {name for one in found for name in one}
        yield from (f"{place}.{name}" for name in SPARE[place] if name in names)


def _param(reply: bytes) -> str:
    """The field that OpenAI's form of an error names apart."""
    try:
        body = codec.loads(reply)
    except ValueError:
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else ""


# The first that has something to say counts.
LESSONS = (_seals, _thinking, _role, _max_tokens, _tool_choice, _format, _effort, _field)
