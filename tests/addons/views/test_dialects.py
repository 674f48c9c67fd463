"""Requests, replies and tools of both dialects as entries."""

from typing import Any

import pytest

from addons.views.dialects import (
    count_tools,
    declared_tools,
    describe_tools,
    item_entries,
    message_entries,
    reply_ending,
    reply_entries,
    request_entries,
)
from addons.views.entries import Entry
from tests.addons.views.support import PIXEL, PIXEL_URL
from translate import Envelope, seal_envelope


def single_entry(item: Any) -> Entry:
    [entry] = item_entries([item])
    return entry


def test_summaries_are_opened_if_the_relay_sealed_them() -> None:
    sealed = seal_envelope(Envelope("kimi", "kimi-k3", {"summary": "## Goal\nA poem."}))
    entry = single_entry({"type": "compaction", "encrypted_content": sealed})
    assert entry.title == "summary of the conversation so far, by kimi-k3 (kimi)"
    assert entry.text == "## Goal\nA poem."
    entry = single_entry({"type": "compaction", "encrypted_content": "gAAA"})
    assert entry.title == "summary of the conversation so far, sealed by another"
    assert entry.text == "[sealed, 4 B]"


def test_reasoning_is_read_from_summary_and_envelope() -> None:
    envelope = Envelope("deepseek", "deepseek-chat", {"reasoning_content": "First I look."})
    entry = single_entry(
        {"type": "reasoning", "summary": [], "encrypted_content": seal_envelope(envelope)}
    )
    assert entry.title == "reasoning · sealed by us for deepseek-chat (deepseek)"
    assert entry.text == "First I look."
    entry = single_entry({"type": "reasoning", "summary": [{"text": "Hm."}]})
    assert (entry.title, entry.text) == ("reasoning", "Hm.")


def test_pictures_in_texts_and_unknown_items() -> None:
    items = [
        {"type": "function_call_output", "call_id": "c", "output": f'{{"shot": "{PIXEL_URL}"}}'},
        {"type": "image_generation_call", "result": "QUJD" * 100},
        {"role": "user", "content": [{"type": "input_file", "filename": "a.pdf",
                                      "file_data": f"data:application/pdf;base64,{PIXEL}"}]},
    ]  # fmt: skip
    text = "".join(entry.to_block() for entry in item_entries(items))
    assert PIXEL not in text and "QUJDQUJD" not in text
    assert '{"shot": "[image/png, 1×1 pixels, 70 B]"}' in text
    assert "[file: a.pdf, application/pdf" in text


@pytest.mark.parametrize(
    ("item", "category", "title", "text"),
    [
        ({"role": "assistant", "phase": "final"}, "assistant", "assistant · final", ""),
        (
            {"type": "agent_message", "author": "a", "recipient": "b", "content": "Go."},
            *("user", "a to b", "Go."),
        ),
        (
            {"type": "function_call", "namespace": "mcp", "name": "add", "call_id": "c"},
            *("call", "call of mcp.add · c", ""),
        ),
        (
            {"type": "local_shell_call", "action": {"x": 1}},
            "call",
            "call of local_shell · ",
            "x: 1",
        ),
        (
            {"type": "additional_tools", "tools": [{"type": "function", "name": "a"}]},
            *("tools", "tools", "1 tool: a"),
        ),
        (
            {"type": "compaction_trigger"},
            *("other", "compaction: the client asks for a summary", ""),
        ),
        ({"type": "item_reference", "id": "x"}, "other", "item_reference", ""),
        ({"type": 7}, "other", "7", ""),
        (3, "other", "int", "3"),
    ],
)
def test_items_of_each_type(item: Any, category: str, title: str, text: str) -> None:
    entry = single_entry(item)
    assert (entry.category, entry.title, entry.text) == (category, title, text)


def test_input_may_be_a_text() -> None:
    assert request_entries({"input": "Hi.", "instructions": "Be brief."}) == [
        Entry(-1, "system", "instructions", "Be brief."),
        Entry(0, "user", "user", "Hi."),
    ]


def test_messages_may_be_anything() -> None:
    assert list(message_entries("Hi.")) == []
    assert list(message_entries([3])) == [Entry(0, "other", "int", "3")]


def test_replies_of_both_dialects() -> None:
    message = {"role": "assistant", "content": "Hi."}
    spoken = Entry(0, "assistant", "assistant", "Hi.")
    assert list(reply_entries({"choices": [{"message": message}]})) == [spoken]
    assert list(reply_entries({"output": [message]})) == [spoken]
    assert list(reply_entries({"data": [message]})) == [spoken]
    [error] = reply_entries({"error": {"message": "It broke."}})
    assert error.text == 'It broke.\n{"message":"It broke."}'


def test_endings_in_the_words_of_the_dialect() -> None:
    assert reply_ending({"choices": [{"finish_reason": "stop"}]}) == "stop"
    assert reply_ending({"choices": [{}]}) == "not finished"
    assert reply_ending({"status": "incomplete"}) == "incomplete"
    assert reply_ending({}) == ""


def test_tools_are_counted_and_named() -> None:
    request = {
        "tools": [
            {"type": "function", "function": {"name": "weather"}},
            {"type": "custom", "name": "apply_patch"},
            {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "add"}]},
            {"type": "web_search"},
            "odd",
        ],
        "functions": [{"name": "old"}],
        "web_search_options": {},
    }
    names = ["weather", "apply_patch (custom)", "mcp.add", "web_search", "old", "web_search"]
    assert list(declared_tools(request)) == names
    assert describe_tools(request["tools"][:1]) == "1 tool: weather"  # type: ignore[index]
    assert count_tools([]) == "no tools"
