"""Calls as providers stream them, and outputs without their calls; named for the reports."""

import pytest

from tests.known.support import (
    accepted_body,
    call_delta,
    call_item,
    call_items,
    call_output,
    function_tool,
    message,
    message_roles,
    names_and_inputs,
    user_message,
)
from tests.translate.support import PROVIDERS, responses_exchange


def test_litellm_20711_arguments_behind_the_first_delta() -> None:
    """Pieces whose id is null are dropped: the arguments are cut."""
    pieces = [call_delta(id=None, arguments=piece) for piece in ('{"a', '":', "1}")]
    assert names_and_inputs(call_items(call_delta(id="c", name="f", arguments=""), *pieces)) == [
        ("f", {"a": 1})
    ]


def test_litellm_21331_parallel_calls_all_on_index_0() -> None:
    """All calls have one index and become one call, whose arguments are not JSON."""
    items = call_items(
        call_delta(id="c1", name="f", arguments='{"a":1}'),
        call_delta(id="c2", name="f", arguments='{"a":2}'),
        call_delta(id="c3", name="g", arguments='{"a":3}'),
    )
    assert names_and_inputs(items) == [("f", {"a": 1}), ("f", {"a": 2}), ("g", {"a": 3})]
    assert [item["call_id"] for item in items] == ["c1", "c2", "c3"]


@pytest.mark.parametrize("nothing", ["", None])
def test_litellm_39288_empty_delta(nothing: str | None) -> None:
    """An empty piece of arguments ends the stream."""
    pieces = [call_delta(arguments=piece) for piece in (nothing, '{"a":', nothing, "1}", nothing)]
    assert names_and_inputs(call_items(call_delta(id="c", name="f"), *pieces)) == [("f", {"a": 1})]


def test_astrbot_6692_calls_without_index() -> None:
    """The missing `index` is an exception (also openai-python#3246, mistral.rs#1507)."""
    items = call_items(
        call_delta(None, id="c1", name="f", arguments='{"a":'),
        call_delta(None, arguments="1}"),
        call_delta(None, id="c2", name="g", arguments='{"a":2}'),
    )
    assert names_and_inputs(items) == [("f", {"a": 1}), ("g", {"a": 2})]


def test_python_genai_2868_stop_beside_calls() -> None:
    """Gemini ends with `stop` in spite of calls, which are then ignored."""
    by = responses_exchange(to=PROVIDERS["gemini"], tools=[function_tool()])
    [item] = call_items(call_delta(id="c", name="f", arguments="{}"), finish="stop", by=by)
    assert (item["type"], item["status"]) == ("function_call", "completed")


def test_litellm_40040_first_id_counts() -> None:
    """Each delta has another id: one call becomes several, none of them whole."""
    items = call_items(
        call_delta(id="c1", name="f", arguments='{"a":'), call_delta(id="c2", arguments="1"),
        call_delta(id="c3", arguments="}"),
    )  # fmt: skip
    assert names_and_inputs(items) == [("f", {"a": 1})]
    assert items[0]["call_id"] == "c1"


def test_codex_7051_nothing_between_call_and_output() -> None:
    """`tool_calls must be followed by tool messages`: a message stands between them."""
    body = accepted_body(user_message(), call_item("c"), user_message("Hurry."), call_output("c"))
    assert message_roles(body) == ["user", "assistant", "tool", "user"]
    assert body["messages"][3]["content"] == "Hurry."


def test_dify_official_plugins_2352_every_output_of_parallel_calls() -> None:
    """All but one of the outputs are dropped."""
    body = accepted_body(
        user_message(),
        call_item("a"),
        call_item("b"),
        call_item("c"),
        call_output("c", "3"),
        call_output("a", "1"),
        call_output("b"),
    )
    _, assistant, *tools = body["messages"]
    assert [call_sent["id"] for call_sent in assistant["tool_calls"]] == ["a", "b", "c"]
    outputs = [(tool["tool_call_id"], tool["content"]) for tool in tools]
    assert outputs == [("a", "1"), ("b", "ok"), ("c", "3")]


def test_vscode_unify_chat_provider_117_output_without_its_call() -> None:
    """`No tool call found for call_id` ends every thread that has changed its model."""
    body = accepted_body(
        user_message(), message("assistant", "Once."), call_output("call_of_another", "12 files")
    )
    *_, last = body["messages"]
    assert last["role"] == "user"
    assert "call_of_another" in last["content"] and "12 files" in last["content"]


def test_litellm_30603_each_result_to_its_call() -> None:
    """Codex repeats the same calls, as the model does not see which one was answered."""
    first, second = call_item("c1", arguments='{"n":1}'), call_item("c2", arguments='{"n":2}')
    body = accepted_body(
        user_message(),
        first,
        call_output("c1", "one"),
        second,
        call_output("c2", "two"),
        user_message("Go on."),
    )
    assert message_roles(body) == ["user", "assistant", "tool", "assistant", "tool", "user"]
    for at, result in ((1, "one"), (3, "two")):
        [call_sent] = body["messages"][at]["tool_calls"]
        answer = body["messages"][at + 1]
        assert answer == {"role": "tool", "tool_call_id": call_sent["id"], "content": result}
