"""An exchange as a case folder of tests/cases: what was asked, what the provider answered."""

import json
from typing import Any

from mitmproxy.exceptions import CommandError

from addons.ingress.routes import Route
from addons.observe.exchange_record import FACTS
from addons.replay.export_case import Scrub
from addons.replay.retranslate import Pair
from translate import BadRequest, decode

# Codex's bookkeeping, which no translation reads.
BOOKKEEPING = frozenset({"client_metadata", "internal_chat_message_metadata_passthrough"})


def files(pair: Pair) -> dict[str, bytes]:
    """By name; without names, tokens and ids of persons and accounts. Raises CommandError."""
    request, reply, facts = asked(pair), pair.upstream.response, pair.client.metadata[FACTS]
    if reply is None or reply.get_content(strict=False) is None:
        raise CommandError("The provider has not answered: there is nothing to be a case.")
    content = reply.get_content(strict=False) or b""
    scrub = Scrub(json.dumps(request, ensure_ascii=False), content)
    request["model"] = facts["model"]
    made = {"request.json": pretty(scrub.value(request))}
    answer = scrub.reply(content)
    if reply.status_code != 200:
        wait = reply.headers.get("retry-after")
        head = f"{reply.status_code}\n" + (f"Retry-After: {wait}\n" if wait else "")
        made["reply.http"] = head.encode() + b"\n" + answer
    else:
        whole = content.lstrip().startswith(b"{")
        made["reply.json" if whole else "reply.sse"] = answer
    model = scrub.text(facts["model"])
    note = f"Seen with {facts['provider']}, model `{model}`: {ending(facts)}.\n"
    return {**made, "note.md": note.encode()}


def asked(pair: Pair) -> dict[str, Any]:
    """The client's request, as the cases can be asked it. Raises CommandError."""
    try:
        request = decode(pair.client.request.get_content() or b"")
    except (BadRequest, ValueError) as error:
        raise CommandError(f"Its request cannot be read: {error}") from None
    if pair.client.metadata.get("relay.route") == Route.COMPACT:
        raise CommandError("A case is of POST /responses, and this was of /responses/compact.")
    if request.get("previous_response_id"):
        raise CommandError("It continues a kept response, and a case has no earlier one.")
    made: dict[str, Any] = bare(request)
    return made


def bare(value: Any) -> Any:
    if isinstance(value, list):
        return [bare(one) for one in value]
    if isinstance(value, dict):
        return {name: bare(one) for name, one in value.items() if name not in BOOKKEEPING}
    return value


def ending(facts: dict[str, Any]) -> str:
    return f"{facts['status']}, {facts['calls']} calls"


def pretty(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
