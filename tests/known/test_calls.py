"""Calls as providers stream them, and outputs that lose them, by the report that told of it."""

import pytest

from tests.known.support import (
    accepted,
    brief,
    call,
    called,
    delta,
    function,
    message,
    out,
    roles,
    user,
)
from tests.translate.support import PROVIDERS, carry


def test_litellm_20711_arguments_behind_the_first_delta() -> None:
    """Pieces whose id is null are dropped: the arguments are cut."""
    pieces = [delta(id=None, arguments=piece) for piece in ('{"a', '":', "1}")]
    assert brief(called(delta(id="c", name="f", arguments=""), *pieces)) == [("f", {"a": 1})]


def test_litellm_21331_parallel_calls_all_on_index_0() -> None:
    """All calls on one index are taken for one, whose arguments are no JSON."""
    items = called(
        delta(id="c1", name="f", arguments='{"a":1}'),
        delta(id="c2", name="f", arguments='{"a":2}'),
        delta(id="c3", name="g", arguments='{"a":3}'),
    )
    assert brief(items) == [("f", {"a": 1}), ("f", {"a": 2}), ("g", {"a": 3})]
    assert [item["call_id"] for item in items] == ["c1", "c2", "c3"]


@pytest.mark.parametrize("nothing", ["", None])
def test_litellm_39288_empty_delta(nothing: str | None) -> None:
    """An empty piece of arguments ends the stream."""
    pieces = [delta(arguments=piece) for piece in (nothing, '{"a":', nothing, "1}", nothing)]
    assert brief(called(delta(id="c", name="f"), *pieces)) == [("f", {"a": 1})]


def test_astrbot_6692_calls_without_index() -> None:
    """The missing `index` is an exception (also openai-python#3246, mistral.rs#1507)."""
    items = called(
        delta(None, id="c1", name="f", arguments='{"a":'),
        delta(None, arguments="1}"),
        delta(None, id="c2", name="g", arguments='{"a":2}'),
    )
    assert brief(items) == [("f", {"a": 1}), ("g", {"a": 2})]


def test_python_genai_2868_stop_beside_calls() -> None:
    """Gemini ends with `stop` though there are calls, which are then not made."""
    by = carry(to=PROVIDERS["gemini"], tools=[function()])
    [item] = called(delta(id="c", name="f", arguments="{}"), finish="stop", by=by)
    assert (item["type"], item["status"]) == ("function_call", "completed")


def test_litellm_40040_first_id_counts() -> None:
    """Each delta has another id: one call becomes several, none of them whole."""
    items = called(
        delta(id="c1", name="f", arguments='{"a":'), delta(id="c2", arguments="1"),
        delta(id="c3", arguments="}"),
    )  # fmt: skip
    assert brief(items) == [("f", {"a": 1})]
    assert items[0]["call_id"] == "c1"


def test_codex_7051_nothing_between_call_and_output() -> None:
    """`tool_calls must be followed by tool messages`: a message stands between them."""
    body = accepted(user(), call("c"), user("Hurry."), out("c"))
    assert roles(body) == ["user", "assistant", "tool", "user"]
    assert body["messages"][3]["content"] == "Hurry."


def test_dify_official_plugins_2352_every_output_of_parallel_calls() -> None:
    """All but one of the outputs are dropped."""
    body = accepted(user(), call("a"), call("b"), call("c"), out("c", "3"), out("a", "1"), out("b"))
    _, assistant, *tools = body["messages"]
    assert [made["id"] for made in assistant["tool_calls"]] == ["a", "b", "c"]
    told = [(tool["tool_call_id"], tool["content"]) for tool in tools]
    assert told == [("a", "1"), ("b", "ok"), ("c", "3")]


def test_vscode_unify_chat_provider_117_output_without_its_call() -> None:
    """`No tool call found for call_id` ends every thread that has changed its model."""
    body = accepted(user(), message("assistant", "Once."), out("call_of_another", "12 files"))
    *_, last = body["messages"]
    assert last["role"] == "user"
    assert "call_of_another" in last["content"] and "12 files" in last["content"]


def test_litellm_30603_each_result_to_its_call() -> None:
    """Codex repeats the same calls for ever, as the model does not see which one was answered."""
    first, second = call("c1", arguments='{"n":1}'), call("c2", arguments='{"n":2}')
    body = accepted(user(), first, out("c1", "one"), second, out("c2", "two"), user("Go on."))
    assert roles(body) == ["user", "assistant", "tool", "assistant", "tool", "user"]
    for at, result in ((1, "one"), (3, "two")):
        [made] = body["messages"][at]["tool_calls"]
        answer = body["messages"][at + 1]
        assert answer == {"role": "tool", "tool_call_id": made["id"], "content": result}
