"""From verdicts to the fields of a provider's profile: which probe decides which field. Pure.

A field is left out if the probes say nothing of it, so that what the relay assumed stays.
"""

from collections.abc import Callable, Mapping
from typing import Any

from translate import Provider, reasoning_fields

from .chat_reply import THINKING_PARTS, ChatReply
from .findings import LIMIT_FIELDS, Measurements
from .judges import find_context_window
from .probes import (
    EFFORTS,
    LONGEST_DESCRIPTION,
    PLAIN_KEYWORDS,
    SAMPLING,
    SCHEMAS,
    UNKNOWN_LENGTH,
    effort_name,
    has_efforts,
    schema_name,
)

Json = dict[str, Any]
type Decision = Callable[[Measurements], Any]  # the value of a field; None: nothing was measured

# Probe → the common parameter that it measures, as the client names it.
COMMON = {name: name for name in (*SAMPLING, "stop")} | {
    "parallel_tool_calls false": "parallel_tool_calls"
}
# Probe → the parameters that the provider takes beside the common ones.
OPTIONAL_NAMES = {
    "user": ("user",),
    "prompt_cache_key": ("prompt_cache_key",),
    "service_tier": ("service_tier",),
    "metadata": ("metadata",),
    "safety_identifier": ("safety_identifier",),
    "verbosity": ("text.verbosity",),
    "logprobs": ("message.output_text.logprobs", "top_logprobs"),
}
FORMATS = ("json_object", "json_schema")
CHOICES = ("none", "required", "function")
IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
# What models write for a call that their server does not parse → the quirk that reads it.
LEAK_MARKS = {
    "DSML": "dsml_calls",
    "<tool_call>": "tagged_calls",
    "[TOOL_CALLS]": "bracketed_calls",
}


def decide_max_tokens(measured: Measurements) -> str | None:
    return measured.limit_field if measured.is_served(*LIMIT_FIELDS) else None


def decide_refuses(measured: Measurements) -> list[str] | None:
    """Those that were refused or had no effect, and the known ones that were not served."""
    verdicts = {name: measured.verdict(probe) for probe, name in COMMON.items()}
    if not any(map(measured.is_measured, COMMON)):
        return None
    before = measured.endpoint.profile.refuses - served_parameters(measured)
    refused = {name for name, verdict in verdicts.items() if verdict in ("refused", "ignored")}
    if measured.is_refused(effort_name("low")) and not has_efforts(measured):
        refused.add("reasoning.effort")
    return sorted(before | refused)


def served_parameters(measured: Measurements) -> set[str]:
    """Common parameters that the endpoint surely takes. Where it lets unknown fields pass, only
    an effect shows that."""
    proofs = {"seen", "accepted"} if measured.is_refused("unknown field") else {"seen"}
    names = {name for probe, name in COMMON.items() if measured.verdict(probe) in proofs}
    has_effort = "accepted" in proofs and has_efforts(measured)
    return names | ({"reasoning.effort"} if has_effort else set())


def decide_takes(measured: Measurements) -> list[str] | None:
    if not any(map(measured.is_measured, OPTIONAL_NAMES)):
        return None
    takes = set(measured.endpoint.profile.takes)
    proofs = {"seen", "accepted"} if measured.is_refused("unknown field") else {"seen"}
    for probe, names in OPTIONAL_NAMES.items():
        if measured.verdict(probe) in proofs:
            takes |= set(names)
        elif measured.is_refused(probe):
            takes -= set(names)
    return sorted(takes)


def unrefused_values(probes: Mapping[str, str]) -> Decision:
    """The values whose probe is not refused: for fields that list what is accepted."""

    def decide(measured: Measurements) -> list[str] | None:
        if not all(map(measured.is_measured, probes)):
            return None
        return sorted(value for probe, value in probes.items() if not measured.is_refused(probe))

    return decide


UNREFUSED_CHOICES = unrefused_values({f"tool_choice {name}": name for name in CHOICES})


def decide_tool_choices(measured: Measurements) -> list[str] | None:
    """Those that are served and work. A model that calls no tool at all shows only refusals."""
    served: list[str] | None = UNREFUSED_CHOICES(measured)
    if served is None or measured.verdict("tool call") != "seen":
        return served
    return [name for name in served if measured.verdict(f"tool_choice {name}") != "ignored"]


def is_accepted(probe: str) -> Decision:
    """False for a refused probe; nothing where it was not measured."""

    def decide(measured: Measurements) -> bool | None:
        return not measured.is_refused(probe) if measured.is_measured(probe) else None

    return decide


def decide_system_role(measured: Measurements) -> str | None:
    if measured.is_served("system role"):
        return "system"
    return "developer" if measured.is_served("developer role") else None


def decide_late_system_role(measured: Measurements) -> str | None:
    """The role that a model heeds late in a conversation; `user` where none works."""
    role = decide_system_role(measured)
    if role is None or not measured.is_measured(f"late {role}"):
        return None
    return role if measured.verdict(f"late {role}") == "seen" else "user"


def decide_images(measured: Measurements) -> bool | None:
    """Only a refusal shows that a model takes no images: it may just name the colours wrongly."""
    if measured.verdict("image/png") in ("not measured", "not seen"):
        return None
    return not measured.is_refused("image/png")


def decide_reasoning_back(measured: Measurements) -> str | None:
    """How earlier thinking goes back; see `Provider.reasoning_back`."""
    if not measured.is_measured("reasoning goes back"):
        return None
    own = measured.replies["tool call"].reasoning
    if measured.is_refused("reasoning goes back"):
        return "think" if measured.is_served("reasoning goes back as <think>") else "never"
    if THINKING_PARTS in own:
        return "parts"
    fields = [name for name in reasoning_fields(own) if name.startswith("reasoning")]
    is_needed = measured.is_refused("tool result")
    return fields[0] if is_needed and fields[:1] != ["reasoning_details"] and fields else "echo"


def decide_efforts(measured: Measurements) -> Json | None:
    """Refused efforts → the nearest accepted one, the lower first. A known provider's own table
    stays: it may express efforts with other fields than these probes send."""
    profile = measured.endpoint.profile
    if profile.efforts or profile.effort_field != "reasoning_effort":
        return None
    if not has_efforts(measured) or not all(measured.is_measured(effort_name(e)) for e in EFFORTS):
        return None
    accepted = [effort for effort in EFFORTS if not measured.is_refused(effort_name(effort))]
    return {
        effort: nearest_effort(effort, accepted) for effort in EFFORTS if effort not in accepted
    }


def nearest_effort(effort: str, accepted: list[str]) -> str:
    position = EFFORTS.index(effort)
    lower = [other for other in accepted if EFFORTS.index(other) < position and other != "none"]
    return lower[-1] if lower else next(other for other in accepted if other != "none")


def decide_one_call(measured: Measurements) -> bool | None:
    """Whether it makes several calls at a time only if the request allows it."""
    verdicts = measured.verdict("parallel calls"), measured.verdict("parallel_tool_calls true")
    return {("seen", "seen"): False, ("not seen", "seen"): True}.get(verdicts)


def decide_strict(measured: Measurements) -> Any:
    """False if the field is refused; the closed form if optional fields are."""
    if not measured.is_measured("strict"):
        return None
    if measured.is_refused("strict"):
        return False
    is_closed = measured.is_refused("strict with an optional field")
    return {"closed": True} if is_closed else {}


def decide_subset(measured: Measurements) -> Json | None:
    """The accepted part of JSON Schema; nothing if all of it was accepted."""
    names = {keyword: schema_name(keyword) for keyword in SCHEMAS}
    if not all(map(measured.is_measured, names.values())):
        return None
    refused = {keyword for keyword, probe in names.items() if measured.is_refused(probe)}
    if not refused:
        return None
    keywords = {*PLAIN_KEYWORDS}
    for keyword in SCHEMAS.keys() - refused:
        keywords |= set(SCHEMAS[keyword][1])
    flags = {
        "one_type": bool(refused & {"anyOf beside type", "list of types"}),
        "nullable": "list of types" in refused and "nullable" not in refused,
        "string_enums": "enum of numbers" in refused,
    }
    fields: Json = {"keywords": sorted(keywords)} if refused & REFUSABLE_KEYWORDS else {}
    return fields | {name: True for name, is_set in flags.items() if is_set}


REFUSABLE_KEYWORDS = {keyword for keyword, (_, keywords) in SCHEMAS.items() if keywords}


def decide_quirks(measured: Measurements) -> list[str] | None:
    known = list(measured.endpoint.profile.quirks)
    refuses_ids = measured.is_refused("foreign call id")
    if refuses_ids and measured.is_served("call id of nine characters"):
        known.append("nine_character_ids")
    reply = measured.replies.get("tool call")
    text = reply.text if reply and not reply.calls else ""
    known += [quirk for mark, quirk in LEAK_MARKS.items() if mark in text]
    return list(dict.fromkeys(known)) or None


def decide_description_limit(measured: Measurements) -> int | None:
    return LONGEST_DESCRIPTION if measured.is_refused("long tool description") else None


def decide_context_window(measured: Measurements) -> int | None:
    """Only where the model list does not state it: the relay reads that itself."""
    if measured.context_window:
        return None
    return stated_window(measured)


def stated_window(measured: Measurements) -> int | None:
    """The window that an error's words name, or to which a server cut a long request."""
    for probe in ("request above the window", "limit above the window"):
        reply = measured.replies.get(probe)
        if reply and reply.refusal and (tokens := find_context_window(reply.refusal)):
            return tokens
    return read_length(measured.replies.get("request above the window"))


def read_length(reply: ChatReply | None) -> int | None:
    """The tokens to which a server cut the long request; None if it read all of it."""
    tokens = reply.usage.get("prompt_tokens") if reply else None
    return tokens if isinstance(tokens, int) and 0 < tokens < UNKNOWN_LENGTH // 2 else None


# Field of the profile → what the probes say of it.
DECISIONS: dict[str, Decision] = {
    "max_tokens": decide_max_tokens,
    "stream_options": is_accepted("stream_options"),
    "system_role": decide_system_role,
    "late_system_role": decide_late_system_role,
    "images": decide_images,
    "image_types": lambda measured: (
        unrefused_values({name: name for name in IMAGE_TYPES})(measured)
        if measured.is_served("image/png")
        else None
    ),
    "reasoning_back": decide_reasoning_back,
    "efforts": decide_efforts,
    "refuses": decide_refuses,
    "takes": decide_takes,
    "formats": unrefused_values({name: name for name in FORMATS}),
    "tool_choices": decide_tool_choices,
    "one_call": decide_one_call,
    "strict": decide_strict,
    "subset": decide_subset,
    "description_limit": decide_description_limit,
    "quirks": decide_quirks,
    "context_window": decide_context_window,
}


def measured_fields(measured: Measurements) -> Json:
    """The fields of the profile that the probes decide, as a table of relay.toml has them."""
    decided = {name: decide(measured) for name, decide in DECISIONS.items()}
    return {name: value for name, value in decided.items() if value is not None}


def changed_fields(fields: Json, profile: Provider) -> Json:
    """The fields that differ from what the relay assumes."""
    current = profile.model_dump(mode="json")
    return {
        name: value
        for name, value in fields.items()
        if comparable_value(value) != comparable_value(current[name])
    }


def comparable_value(value: Any) -> Any:
    """The value without the order of its lists, and without the defaults of tables."""
    match value:
        case list():
            return sorted(value)
        case dict():
            return {key: comparable_value(inner) for key, inner in value.items() if inner}
    return value
