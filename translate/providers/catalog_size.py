"""Keeps Codex's catalog below the size that Codex reads."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from translate.providers.catalog import CatalogModel

Json = dict[str, Any]

# Bytes of JSON. Codex 0.163 ignores a catalog above 1 MiB, and has no models then. Codex 0.169 was
# seen to read 34 MB; it keeps the catalog in a file, which it reads at each start.
STRICT_LIMIT, USUAL_LIMIT = 1_000_000, 4_000_000
USUAL_SINCE = (0, 169)  # the first version with the usual limit, as far as it is known
VERSION_NUMBERS = re.compile(r"(\d{1,9})\.(\d{1,9})")
INSTRUCTIONS = "base_instructions"


def catalog_limit(client_version: str) -> int:
    """Bytes of the longest catalog that this version of Codex reads."""
    match = VERSION_NUMBERS.match(client_version)
    version = (int(match[1]), int(match[2])) if match else (0, 0)
    return USUAL_LIMIT if version >= USUAL_SINCE else STRICT_LIMIT


def fit_codex_models(
    entries: Iterable[Json],
    models: Iterable[CatalogModel],
    template: Mapping[str, Any],
    short_instructions: str,
    limit: int,
) -> list[Json]:
    """The entries of a catalog that fit into the limit, in bytes; `models` are theirs.

    With the template's instructions, an entry has 23 kB. Where not all fit, the later ones get the
    short instructions; where not all fit even so, models that call no tools are left out, from the
    last one on, then others.
    """
    without_tools = {model.id for model in models if model.has_tools is False}
    long_entries = {entry["slug"]: entry for entry in entries}
    short_entries = {
        slug: shorten_entry(entry, template, short_instructions)
        for slug, entry in long_entries.items()
    }
    room = limit
    kept: set[str] = set()
    for slug in sorted(short_entries, key=lambda slug: slug in without_tools):
        room -= json_size(short_entries[slug])
        if room < 0:
            break
        kept.add(slug)
    else:
        return lengthen_first(long_entries, short_entries, room)
    return [entry for slug, entry in short_entries.items() if slug in kept]


def lengthen_first(
    long_entries: Mapping[str, Json], short_entries: Mapping[str, Json], room: int
) -> list[Json]:
    """The short entries, with the long ones in place of the first, as far as the room reaches."""
    fitting = []
    for slug, entry in long_entries.items():
        room -= json_size(entry) - json_size(short_entries[slug])
        fitting.append(entry if room >= 0 else short_entries[slug])
    return fitting


def shorten_entry(entry: Json, template: Mapping[str, Any], short_instructions: str) -> Json:
    """The entry with the short instructions, if it has those of the template."""
    text = entry[INSTRUCTIONS]
    if text != template[INSTRUCTIONS] or len(text) <= len(short_instructions):
        return entry
    return {**entry, INSTRUCTIONS: short_instructions}


def json_size(entry: Json) -> int:
    """Bytes of the entry in the JSON of a list, with the comma behind it."""
    return len(json.dumps(entry)) + 2
