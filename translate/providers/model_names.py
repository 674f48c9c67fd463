"""Model names that say how to think and how fast: `gpt-5.5-high-fast` → the model, and the fields.

Only where nobody lists the whole name, as names of real models end in such words, too.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from translate.wire.requests import Reasoning, ResponsesRequest

Fields = dict[str, Any]

EFFORTS = ("low", "medium", "high", "xhigh")
TIERS = {"fast": "priority"}


@dataclass(frozen=True)
class Variant:
    """A model, and what its name asks for beside it."""

    model: str
    effort: str | None = None
    tier: str | None = None


def variant(
    name: str, listed: Collection[str], aliases: Mapping[str, str] = MappingProxyType({})
) -> Variant | None:
    """What a name means: a listed model, an alias of one, or either with suffixes, each sort once
    and in any order. None for any other name."""
    base, found = name, Variant("")
    while base not in listed and base not in aliases:
        base, _, word = base.rpartition("-")
        if word in EFFORTS and found.effort is None:
            found = Variant("", word, found.tier)
        elif word in TIERS and found.tier is None:
            found = Variant("", found.effort, TIERS[word])
        else:
            return None
    model = base if base in listed else aliases[base]
    return Variant(model, found.effort, found.tier)


def asked(request: ResponsesRequest, wanted: Variant | None) -> Fields:
    """The fields of the request that the name overrules."""
    made: Fields = {}
    if wanted and wanted.effort:
        own = request.reasoning or Reasoning()
        made["reasoning"] = own.model_copy(update={"effort": wanted.effort})
    if wanted and wanted.tier:
        made["service_tier"] = wanted.tier
    return made
