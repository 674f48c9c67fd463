"""Calls that leak as text, ids of nine characters, and their switches."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import (
    PROVIDERS,
    Json,
    carry,
    chunk,
    feed_every_way,
    lawful,
    output,
    provider,
    replied,
    sent,
    stream,
)  # fmt: skip
from translate.providers.quirks import EVERYWHERE, LEAKS, MENDS, QUIRKS, Leaks

SHELL = {"type": "function", "name": "exec_command"}
ALL = provider(quirks=sorted(QUIRKS))
LEAKED = {
    "dsml_calls": '<｜DSML｜tool_calls><｜DSML｜invoke name="exec_command">'
    '<｜DSML｜parameter name="cmd" string="true">pwd</｜DSML｜parameter>'
    "</｜DSML｜invoke></｜DSML｜tool_calls>",
    "tagged_calls": '<tool_call>{"name": "exec_command", "arguments": {"cmd": "pwd"}}</tool_call>',
    "bracketed_calls": '[TOOL_CALLS]exec_command[ARGS]{"cmd": "pwd"}',
}
each = pytest.mark.parametrize("quirk", LEAKED)


def said(*texts: str, to: Any = ALL, finish: str = "stop") -> list[Json]:
    crossing = carry(to=to, tools=[SHELL])
    return output(replied(*[chunk(content=text) for text in texts], chunk(finish), by=crossing))


def test_every_leak_is_tested() -> None:
    assert LEAKED.keys() == LEAKS.keys() and LEAKS.keys() | MENDS.keys() | EVERYWHERE == QUIRKS


@each
def test_leaked_call_is_a_call(quirk: str) -> None:
    message, call = said("Look: ", LEAKED[quirk])
    assert message["content"][0]["text"].strip() == "Look:"
    assert (call["name"], json.loads(call["arguments"])) == ("exec_command", {"cmd": "pwd"})


@each
def test_leaked_call_without_the_quirk_is_text(quirk: str) -> None:
    [message] = said(LEAKED[quirk], to=ALL.without([quirk]))
    assert message["content"][0]["text"] == LEAKED[quirk]


@each
def test_every_split_of_a_leaked_call_is_the_same(quirk: str) -> None:
    wire = stream(*[chunk(content=letter) for letter in f"A < {LEAKED[quirk]} b"], chunk("stop"))

    def events(parts: list[bytes]) -> list[Json]:
        crossing = carry(to=ALL, tools=[SHELL])
        return lawful(b"".join(crossing.feed(part) for part in parts) + crossing.feed(b""))

    feed_every_way(events, wire, every=0)


@each
def test_leaked_call_that_is_cut_off_stays_text(quirk: str) -> None:
    cut = LEAKED[quirk][: LEAKED[quirk].index("pwd")]
    [message] = said(cut, finish="length")
    assert message["content"][0]["text"] == cut


@each
def test_call_of_a_tool_that_is_not_declared_stays_text(quirk: str) -> None:
    text = LEAKED[quirk].replace("exec_command", "bake")
    [message] = said(text)
    assert message["content"][0]["text"] == text


@each
def test_real_call_after_a_leaked_one(quirk: str) -> None:
    real = {"index": 0, "id": "c", "function": {"name": "exec_command", "arguments": "{}"}}
    crossing = carry(to=ALL, tools=[SHELL])
    chunks = [chunk(content=LEAKED[quirk]), chunk("tool_calls", tool_calls=[real])]
    one, two = output(replied(*chunks, by=crossing))
    assert (json.loads(one["arguments"]), two["arguments"]) == ({"cmd": "pwd"}, "{}")


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>no JSON</tool_call>",
        "<tool_call>5</tool_call>",
        '<tool_call>{"name": "exec_command"}</tool_call>',
        "[TOOL_CALLS]exec_command{no JSON}",
        "a < b and c [TOOL",
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    [message] = said(text)
    assert message["content"][0]["text"] == text


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('<tool_call>{"name": "exec_command", "arguments": "{\\"a\\": 1}"}</tool_call>', {"a": 1}),
        ("<tool_call><function=exec_command></function></tool_call>", {}),
        ('<|DSML|invoke name="exec_command"><|DSML|parameter name="a">[1]</|DSML|parameter>'
         '<|DSML|parameter name="b" string="false">x</|DSML|parameter></|DSML|invoke>',
         {"a": [1], "b": "x"}),
        ('<｜DSML｜function_calls>\n<｜DSML｜invoke name="exec_command"></｜DSML｜invoke>', {}),
        ('[TOOL_CALLS]exec_command{"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
def test_other_spellings(text: str, arguments: Json) -> None:
    [call] = said(text)
    assert json.loads(call["arguments"]) == arguments


@given(st.lists(st.text(alphabet="<tool_ca>[TOLCAS]x{}", max_size=9), max_size=9))
def test_text_that_is_no_call_is_never_lost(texts: list[str]) -> None:
    leaks = Leaks(ALL, lambda _: False)
    passed = "".join(leaks.feed(text) for text in texts)
    held, calls = leaks.close()
    assert passed + held == "".join(texts) and not calls


def test_ids_are_nine_characters_and_stay_together() -> None:
    items = [
        {"role": "user", "content": "A"},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_long_one"},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "D681PevKs"},
        {"type": "function_call_output", "call_id": "call_long_one", "output": "1"},
        {"type": "function_call_output", "call_id": "D681PevKs", "output": "2"},
    ]
    _, said_, one, two = sent(to=PROVIDERS["mistral"], input=items)["messages"]
    ids = [call["id"] for call in said_["tool_calls"]]
    assert ids == [one["tool_call_id"], two["tool_call_id"]]
    assert len(ids[0]) == 9 and ids[1] == "D681PevKs"
    off = PROVIDERS["mistral"].without(["nine_character_ids"])
    assert sent(to=off, input=items)["messages"][2]["tool_call_id"] == "call_long_one"


def test_think_tags_may_be_text() -> None:
    chunks = [chunk(content="<think>Hm.</thi"), chunk(content="nk>Hi."), chunk("stop")]
    off = provider().without(["think_tags"])
    [item] = output(replied(*chunks, by=carry(to=off)))
    assert item["content"][0]["text"] == "<think>Hm.</think>Hi."
    kinds = [item["type"] for item in output(replied(*chunks, by=carry(to=provider())))]
    assert kinds == ["reasoning", "message"]


def test_thought_signatures_may_stay_here() -> None:
    google = {"google": {"thought_signature": "s"}}
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    chunks = [chunk(tool_calls=[{**call, "extra_content": google}]), chunk("tool_calls")]
    off = provider(quirks_off=["thought_signatures"])
    kinds = [item["type"] for item in output(replied(*chunks, by=carry(to=off)))]
    assert kinds == ["function_call"]
    kinds = [item["type"] for item in output(replied(*chunks, by=carry(to=provider())))]
    assert kinds == ["function_call", "reasoning"]
