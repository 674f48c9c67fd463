"""References to stored items: how they are recognised and replaced."""

from typing import Any

import pytest

from translate import BadRequest, items_by_key, load_json, referenced_keys, replace_references
from translate.state.item_reference import is_reference

Json = dict[str, Any]
USER = {"role": "user", "content": "Go."}
ITEMS: dict[str, Json] = {
    "rs_1": {"type": "reasoning", "id": "rs_1", "summary": []},
    "msg_1": {"type": "message", "role": "assistant", "id": "msg_1", "content": []},
}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "item_reference", "id": "msg_1"}, True),
        ({"id": "msg_1"}, True),
        ({"type": None, "id": "msg_1"}, True),
        ({"type": "item_reference"}, True),
        ({"type": "message", "id": "msg_1"}, False),
        ({"role": "user", "id": "msg_1"}, False),
        ({}, False),
        ("item_reference", False),
    ],
)
def test_reference_is_recognised_with_and_without_its_type(item: Any, expected: bool) -> None:
    assert is_reference(item) is expected


def test_items_replace_their_references_in_order_and_once() -> None:
    references = [{"type": "item_reference", "id": id} for id in ("rs_1", "msg_1", "msg_1")]
    body = {"model": "m", "input": [USER, *references, USER]}
    expected = [USER, ITEMS["rs_1"], ITEMS["msg_1"], USER]
    assert replace_references(body, ITEMS) == {"model": "m", "input": expected}


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("msg_2", "input[1]: Item with id 'msg_2' not found. Look."),
        (None, "input[1]: Item with id None not found. Look."),
        (["msg_1"], "input[1]: Item with id ['msg_1'] not found. Look."),
    ],
)
def test_unknown_item_is_named(id: Any, message: str) -> None:
    body = {"input": [USER, {"type": "item_reference", "id": id}]}
    with pytest.raises(BadRequest) as error:
        replace_references(body, ITEMS, cure="Look.")
    assert (error.value.message, error.value.param) == (message, "input[1]")


def test_keys_lead_from_a_reference_to_the_item_of_the_same_owner_only() -> None:
    items = items_by_key([*ITEMS.values(), {"type": "unknown"}], "ada")
    body = {"input": [{"type": "item_reference", "id": "msg_1"}, {"id": 5}, USER, 5]}
    [(key, id)] = referenced_keys(body, "ada").items()
    assert (id, load_json(items[key])) == ("msg_1", ITEMS["msg_1"])
    assert items.keys().isdisjoint(referenced_keys(body, "bob"))
    assert referenced_keys({"input": "Hello."}, "ada") == {}
