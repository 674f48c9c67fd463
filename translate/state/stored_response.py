"""A kept response: all that it takes to go on from it, and to show it again.

Source: https://developers.openai.com/api/reference/resources/responses (retrieve, input_items).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from translate.state.compaction import COMPACTED
from translate.wire import codec

Item = dict[str, Any]

ENDINGS = ("completed", "incomplete")  # what failed is nothing to go on from
PREFIX = {"message": "msg", "reasoning": "rs", "function_call": "fc"}


@dataclass(frozen=True)
class Kept:
    input: Sequence[Item]  # its own; what came before is kept with the response before
    response: Item

    @classmethod
    def load(cls, data: bytes) -> "Kept":
        """The inverse of `dump`."""
        return cls(**codec.loads(data))

    def dump(self) -> bytes:
        return codec.dumps({"input": self.input, "response": self.response})

    @property
    def id(self) -> str:
        return str(self.response["id"])

    @property
    def previous(self) -> str | None:
        previous: str | None = self.response["previous_response_id"]
        return previous


def history(chain: Sequence[Kept]) -> list[Item]:
    """The items of these responses, oldest first; a summary stands for all that was before it."""
    items: list[Item] = []
    for kept in chain:
        items += kept.input
        for item in kept.response["output"]:
            if item["type"] in COMPACTED:
                items = []
            items.append(item)
    return items


def listed(kept: Kept) -> list[Item]:
    """Its input as OpenAI lists it: with ids, which are the same every time, and parts."""
    seed = kept.id.removeprefix("resp_")
    return [_listed(item, f"{seed}_in_{number}") for number, item in enumerate(kept.input)]


def _listed(item: Item, seed: str) -> Item:
    type_ = item.get("type") or "message"
    made = {**item, "type": type_, "id": item.get("id") or f"{PREFIX.get(type_, 'item')}_{seed}"}
    if type_ == "message":
        made["content"] = _parts(item.get("role"), item.get("content"))
    if type_.endswith(("message", "_call", "_output")):
        made["status"] = item.get("status") or "completed"
    return made


def _parts(role: object, content: Any) -> list[Item]:
    if not isinstance(content, str):
        return content or []
    if role == "assistant":
        return [{"type": "output_text", "text": content, "annotations": []}]
    return [{"type": "input_text", "text": content}]
