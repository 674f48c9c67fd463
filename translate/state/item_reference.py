"""References to stored items, which stand in a request's input in place of the items themselves.

The AI SDK's `openai(…)` sends one for each item that it has got before, from its second turn on
(https://developers.openai.com/api/reference/resources/responses, create: `item_reference`). Items
are stored under keys: hashes of an owner and the item's id.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from translate.wire import codec
from translate.wire.errors import BadRequest

Json = dict[str, Any]

REFERENCE_TYPE = "item_reference"


def is_reference(item: Any) -> bool:
    """Whether an item of the input is a reference; its type may be left out."""
    if not isinstance(item, dict):
        return False
    is_bare_id = item.get("type") is None and "id" in item and item.keys() <= {"type", "id"}
    return is_bare_id or item.get("type") == REFERENCE_TYPE


def check_references(items: Sequence[Json]) -> None:
    """Raises BadRequest for the first reference, as no item is known for it."""
    for position, item in enumerate(items):
        if is_reference(item):
            raise item_missing(item.get("id"), f"input[{position}]")


def item_missing(id: Any, path: str, cure: str = "") -> BadRequest:
    """The error for an item that was never stored or is no longer stored."""
    message = " ".join(filter(None, [f"{path}: Item with id {id!r} not found.", cure]))
    return BadRequest(message, param=path, code="item_not_found")


def item_key(id: str, owner: str) -> str:
    """The key of an item; no key of one owner equals a key of another."""
    return blake2b(codec.dump_json(["item", owner, id]), digest_size=20).hexdigest()


def items_by_key(output: Sequence[Json], owner: str) -> dict[str, bytes]:
    """The items of a response, to be stored under their keys."""
    return {item_key(item["id"], owner): codec.dump_json(item) for item in output if "id" in item}


def referenced_keys(body: Json, owner: str) -> dict[str, str]:
    """The keys of the items that a request refers to, with the items' ids. Total."""
    ids = (item.get("id") for item in _input_items(body) if is_reference(item))
    return {item_key(id, owner): id for id in ids if isinstance(id, str)}


def replace_references(body: Json, items: Mapping[str, Json], cure: str = "") -> Json:
    """The request with the items, by their ids, in place of its references.

    An item that is referred to twice stands in the conversation once. Raises BadRequest for an
    unknown item; `cure` follows its message.
    """
    used_ids: set[str] = set()
    new_items: list[Any] = []
    for position, item in enumerate(_input_items(body)):
        if not is_reference(item):
            new_items.append(item)
        elif not isinstance(id := item.get("id"), str) or id not in items:
            raise item_missing(id, f"input[{position}]", cure)
        elif id not in used_ids:
            used_ids.add(id)
            new_items.append(items[id])
    return {**body, "input": new_items}


def _input_items(body: Json) -> Iterator[Any]:
    items = body.get("input")
    yield from items if isinstance(items, list) else ()
