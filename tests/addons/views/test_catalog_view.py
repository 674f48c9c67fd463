"""The view `Catalog`: models as a table."""

import pytest
from mitmproxy.contentviews import Metadata

from addons.views.catalog_view import Catalog, model_table
from tests.addons.views.support import encode_json, relayed_flow


def test_model_lists_are_tables() -> None:
    models = [
        {"slug": "gpt-6", "display_name": "GPT-6", "context_window": 400000, "tool_mode": "code",
         "input_modalities": ["text", "image"], "supported_reasoning_levels": [{"effort": "low"}]},
        {"slug": "tiny", "input_modalities": ["text"]},
    ]  # fmt: skip
    assert list(model_table(encode_json({"models": models}))) == [
        "2 models",
        "",
        "slug   title  context  images  efforts  tool_mode",
        "gpt-6  GPT-6  400,000  yes     low      code",
        "tiny                   no",
    ]


def test_one_model_is_a_table_of_one() -> None:
    body = encode_json({"id": "m-1", "object": "model", "owned_by": "maker"})
    assert list(model_table(body)) == ["1 model", "", "slug  owned_by", "m-1   maker"]


def test_other_json_is_no_model_list() -> None:
    with pytest.raises(ValueError, match="it lists no models"):
        list(model_table(b"{}"))


@pytest.mark.parametrize(
    ("route", "body", "priority"),
    [
        ("models", b"{}", 100),
        ("model", b" {}", 100),
        ("models", b"<html>", -1),
        ("relay", b"{}", -1),
    ],
)
def test_catalog_is_chosen_for_model_lists_only(route: str, body: bytes, priority: int) -> None:
    flow = relayed_flow(b"", body, **{"relay.route": route})
    assert Catalog().render_priority(body, Metadata(flow=flow)) == priority
    assert Catalog().render_priority(body, Metadata()) == -1
