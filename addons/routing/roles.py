"""What a request of Codex's is for: a turn of its user's, or one of the things it does beside."""

import json
from typing import Any

from mitmproxy.http import Request

from translate import triggered

# Codex 0.163 and 0.169: the header says which of its own agents asks, the metadata of each
# request, a JSON object, says the rest.
SUBAGENT = "x-openai-subagent"
METADATA = "x-codex-turn-metadata"
AGENTS = {"review": "review", "compact": "compaction"}  # any other name is a sub-agent's


def role_of(request: Request, body: dict[str, Any]) -> str | None:
    """A role of `relay_role_map`, or None for an ordinary turn."""
    told = metadata(request)
    if triggered(body.get("input")) or told.get("request_kind") == "compaction":
        return "compaction"
    if told.get("thread_source") == "thread_title":
        return "title"
    agent = request.headers.get(SUBAGENT, "")
    return AGENTS.get(agent, "subagent") if agent else None


def metadata(request: Request) -> dict[str, Any]:
    try:
        found = json.loads(request.headers.get(METADATA, ""))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
