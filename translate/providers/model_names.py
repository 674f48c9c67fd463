"""Model names that carry an effort and a tier: `gpt-5.5-high-fast` → the model, and the fields.

A name is split only if no upstream lists it whole, because some real models' names end in such
words too.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from translate.wire.requests import ReasoningSettings, ResponsesRequest

Fields = dict[str, Any]

EFFORTS = ("low", "medium", "high", "xhigh")
TIERS = {"fast": "priority"}


@dataclass(frozen=True)
class ModelVariant:
    """A model, and the effort and the service tier that its name asks for."""

    model: str
    effort: str | None = None
    tier: str | None = None


def parse_variant(
    name: str, models: Collection[str], aliases: Mapping[str, str] = MappingProxyType({})
) -> ModelVariant | None:
    """The variant that a name stands for, or None.

    The name is one of `models` or of `aliases` (name → model), with at most one effort and one
    tier as suffixes, in any order.
    """
    base, effort, tier = name, None, None
    while base not in models and base not in aliases:
        base, _, word = base.rpartition("-")
        if word in EFFORTS and effort is None:
            effort = word
        elif word in TIERS and tier is None:
            tier = TIERS[word]
        else:
            return None
    return ModelVariant(base if base in models else aliases[base], effort, tier)


def variant_fields(request: ResponsesRequest, variant: ModelVariant | None) -> Fields:
    """The request's fields that the name of the model overrides."""
    fields: Fields = {}
    if variant and variant.effort:
        reasoning = request.reasoning or ReasoningSettings()
        fields["reasoning"] = reasoning.model_copy(update={"effort": variant.effort})
    if variant and variant.tier:
        fields["service_tier"] = variant.tier
    return fields
