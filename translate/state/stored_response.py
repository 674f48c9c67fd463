"""A stored response: all that the relay needs to continue from it, and to show it again.

Source: https://developers.openai.com/api/reference/resources/responses (retrieve, input_items).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from translate.state.compaction import COMPACTION_TYPES, content_parts
from translate.wire.json_steps import dump_json_in_steps, load_json_in_steps

Item = dict[str, Any]

STORED_STATUSES = ("completed", "incomplete")  # a client cannot continue from a failed response
INPUT_ID_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}


@dataclass(frozen=True)
class StoredResponse:
    input: Sequence[Item]  # its own; earlier items are stored with the previous response
    response: Item

    @classmethod
    def load(cls, data: bytes) -> "StoredResponse":
        """The inverse of `dump`."""
        return cls(**load_json_in_steps(data))

    def dump(self) -> bytes:
        return dump_json_in_steps({"input": self.input, "response": self.response})

    @property
    def id(self) -> str:
        return str(self.response["id"])

    @property
    def previous_id(self) -> str | None:
        """The id of the response that this one continues."""
        previous: str | None = self.response["previous_response_id"]
        return previous


def history_items(chain: Sequence[StoredResponse]) -> list[Item]:
    """The items of these responses, oldest first; a summary replaces all items before it."""
    items: list[Item] = []
    for stored_response in chain:
        items += stored_response.input
        for item in stored_response.response["output"]:
            if item["type"] in COMPACTION_TYPES:
                items = []
            items.append(item)
    return items


def list_input_items(stored_response: StoredResponse) -> list[Item]:
    """Its input as OpenAI lists it: every item has an id, and every message a list of parts.

    An item has the same id in every list.
    """
    seed = stored_response.id.removeprefix("resp_")
    return [
        _input_item(item, f"{seed}_in_{number}")
        for number, item in enumerate(stored_response.input)
    ]


def _input_item(item: Item, seed: str) -> Item:
    item_type = item.get("type") or "message"
    id_ = item.get("id") or f"{INPUT_ID_PREFIXES.get(item_type, 'item')}_{seed}"
    listed_item = {**item, "type": item_type, "id": id_}
    if item_type == "message":
        listed_item["content"] = content_parts(item.get("role"), item.get("content"))
    if item_type.endswith(("message", "_call", "_output")):
        listed_item["status"] = item.get("status") or "completed"
    return listed_item
