"""Calls that models write as text, call ids of nine characters, and the switches of quirks."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.support import (
    PROVIDERS,
    Json,
    chunk,
    feed_every_way,
    lawful_events,
    output,
    provider,
    reply_events,
    responses_exchange,
    sent_body,
    stream,
)  # fmt: skip
from translate import Provider
from translate.providers.quirks import (
    COMMON_QUIRKS,
    LEAK_FORMATS,
    QUIRKS,
    REQUEST_QUIRKS,
    LeakedCallReader,
)

SHELL = {"type": "function", "name": "exec_command"}
ALL_QUIRKS = provider(quirks=sorted(QUIRKS))
LEAKED_CALLS = {
    "dsml_calls": '<｜DSML｜tool_calls><｜DSML｜invoke name="exec_command">'
    '<｜DSML｜parameter name="cmd" string="true">pwd</｜DSML｜parameter>'
    "</｜DSML｜invoke></｜DSML｜tool_calls>",
    "tagged_calls": '<tool_call>{"name": "exec_command", "arguments": {"cmd": "pwd"}}</tool_call>',
    "bracketed_calls": '[TOOL_CALLS]exec_command[ARGS]{"cmd": "pwd"}',
}
each_leak = pytest.mark.parametrize("quirk", LEAKED_CALLS)


def reply_to(*texts: str, to: Any = ALL_QUIRKS, finish: str = "stop") -> list[Json]:
    exchange = responses_exchange(to=to, tools=[SHELL])
    return output(
        reply_events(*[chunk(content=text) for text in texts], chunk(finish), exchange=exchange)
    )


def test_every_leak_is_tested() -> None:
    assert (
        LEAKED_CALLS.keys() == LEAK_FORMATS.keys()
        and LEAK_FORMATS.keys() | REQUEST_QUIRKS.keys() | COMMON_QUIRKS == QUIRKS
    )


@each_leak
def test_leaked_call_is_a_call(quirk: str) -> None:
    message, call = reply_to("Look: ", LEAKED_CALLS[quirk])
    assert message["content"][0]["text"].strip() == "Look:"
    assert (call["name"], json.loads(call["arguments"])) == ("exec_command", {"cmd": "pwd"})


@each_leak
def test_leaked_call_without_the_quirk_is_text(quirk: str) -> None:
    [message] = reply_to(LEAKED_CALLS[quirk], to=ALL_QUIRKS.switch_off([quirk]))
    assert message["content"][0]["text"] == LEAKED_CALLS[quirk]


@each_leak
def test_every_split_of_a_leaked_call_is_the_same(quirk: str) -> None:
    wire = stream(
        *[chunk(content=letter) for letter in f"A < {LEAKED_CALLS[quirk]} b"], chunk("stop")
    )

    def events(parts: list[bytes]) -> list[Json]:
        exchange = responses_exchange(to=ALL_QUIRKS, tools=[SHELL])
        return lawful_events(b"".join(exchange.feed(part) for part in parts) + exchange.feed(b""))

    feed_every_way(events, wire, cut_limit=0)


@each_leak
def test_leaked_call_that_is_cut_off_stays_text(quirk: str) -> None:
    cut = LEAKED_CALLS[quirk][: LEAKED_CALLS[quirk].index("pwd")]
    [message] = reply_to(cut, finish="length")
    assert message["content"][0]["text"] == cut


@each_leak
def test_call_of_a_tool_that_is_not_declared_stays_text(quirk: str) -> None:
    text = LEAKED_CALLS[quirk].replace("exec_command", "bake")
    [message] = reply_to(text)
    assert message["content"][0]["text"] == text


@each_leak
def test_real_call_may_follow_a_leaked_one(quirk: str) -> None:
    real = {"index": 0, "id": "c", "function": {"name": "exec_command", "arguments": "{}"}}
    exchange = responses_exchange(to=ALL_QUIRKS, tools=[SHELL])
    chunks = [chunk(content=LEAKED_CALLS[quirk]), chunk("tool_calls", tool_calls=[real])]
    first, second = output(reply_events(*chunks, exchange=exchange))
    assert (json.loads(first["arguments"]), second["arguments"]) == ({"cmd": "pwd"}, "{}")


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
def test_text_that_is_not_a_call_stays_text(text: str) -> None:
    [message] = reply_to(text)
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
def test_other_spellings_are_calls_too(text: str, arguments: Json) -> None:
    [call] = reply_to(text)
    assert json.loads(call["arguments"]) == arguments


@each_leak
def test_white_space_beside_calls_goes_with_them(quirk: str) -> None:
    text, leak = "A b <｜DSML｜tool_calls> ", LEAKED_CALLS[quirk]
    reader = LeakedCallReader(ALL_QUIRKS, lambda _: True)
    start = "".join(map(reader.feed, [f"{text}\n ", f"{leak}\n", f" {leak}", "\n"]))
    rest, calls = reader.close()
    assert start + rest == text.rstrip() and [call.name for call in calls] == ["exec_command"] * 2


@pytest.mark.parametrize(
    "inside",
    [
        "<｜DSML｜parameter>x</｜DSML｜parameter>",
        '</｜DSML｜parameter><｜DSML｜parameter name="b">1',
        "<｜DSML｜function_calls>",
    ],
)
def test_odd_tags_inside_a_call_are_left_out(inside: str) -> None:
    [call] = reply_to(f'<｜DSML｜invoke name="exec_command">{inside}</｜DSML｜invoke>')
    assert call["arguments"] == "{}"


def test_tag_in_a_parameter_is_part_of_its_text() -> None:
    text = 'a <｜DSML｜parameter name="x"> b'
    [call] = reply_to(
        '<｜DSML｜invoke name="exec_command"><｜DSML｜parameter name="cmd">'
        f"{text}</｜DSML｜parameter></｜DSML｜invoke>"
    )
    assert json.loads(call["arguments"]) == {"cmd": text}


def test_tag_without_a_name_is_no_call() -> None:
    text = "<｜DSML｜invoke></｜DSML｜invoke>"
    [message] = reply_to(text)
    assert message["content"][0]["text"] == text


@given(st.lists(st.text(alphabet="<tool_ca>[TOLCAS]x{}", max_size=9), max_size=9))
def test_text_without_calls_is_never_lost(texts: list[str]) -> None:
    reader = LeakedCallReader(ALL_QUIRKS, lambda _: False)
    start = "".join(reader.feed(text) for text in texts)
    rest, calls = reader.close()
    assert start + rest == "".join(texts) and not calls


def test_ids_are_nine_characters_and_stay_together() -> None:
    items = [
        {"role": "user", "content": "A"},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "call_long_one"},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "D681PevKs"},
        {"type": "function_call_output", "call_id": "call_long_one", "output": "1"},
        {"type": "function_call_output", "call_id": "D681PevKs", "output": "2"},
    ]
    _, assistant, first, second = sent_body(to=PROVIDERS["mistral"], input=items)["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert ids == [first["tool_call_id"], second["tool_call_id"]]
    assert len(ids[0]) == 9 and ids[1] == "D681PevKs"
    off = PROVIDERS["mistral"].switch_off(["nine_character_ids"])
    assert sent_body(to=off, input=items)["messages"][2]["tool_call_id"] == "call_long_one"


def output_from(to: Provider, *chunks: Json) -> dict[str, Json]:
    """The items of the reply by their types, in order."""
    items = output(reply_events(*chunks, exchange=responses_exchange(to=to)))
    return {item["type"]: item for item in items}


def test_think_tags_may_be_switched_off() -> None:
    chunks = [chunk(content="<think>Hm.</thi"), chunk(content="nk>Hi."), chunk("stop")]
    [item] = output_from(provider().switch_off(["think_tags"]), *chunks).values()
    assert item["content"][0]["text"] == "<think>Hm.</think>Hi."
    assert list(output_from(provider(), *chunks)) == ["reasoning", "message"]


def test_thought_signatures_may_be_switched_off() -> None:
    google = {"google": {"thought_signature": "s"}}
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    chunks = [chunk(tool_calls=[{**call, "extra_content": google}]), chunk("tool_calls")]
    off = provider(quirks_off=["thought_signatures"])
    assert list(output_from(off, *chunks)) == ["function_call"]
    assert list(output_from(provider(), *chunks)) == ["function_call", "reasoning"]
