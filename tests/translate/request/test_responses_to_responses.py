"""Responses requests for a Responses upstream; whole requests: tests/cases/responses."""

import json
from typing import Any

import pytest

from tests.translate.support import PROVIDERS, Json, provider, responses_exchange, sent_body
from translate import BadRequest
from translate.state.compaction import SUMMARY_PROMPT
from translate.wire.envelope import Envelope, seal_envelope

NATIVE = PROVIDERS["responses"]
OPENAI = PROVIDERS["openai"]
USER = {"type": "message", "role": "user", "content": "Go."}
TRIGGER = {"type": "compaction_trigger"}
SOME = provider(dialect="responses", tool_types=["custom", "namespace", "tool_search"])


def sent_items(*input_items: Json, to: Any = NATIVE, **fields: Any) -> list[Json]:
    converted: list[Json] = sent_body(to=to, input=list(input_items), **fields)["input"]
    return converted


def test_nothing_to_answer_is_refused() -> None:
    for to in (NATIVE, OPENAI):
        with pytest.raises(BadRequest, match="nothing to answer"):
            responses_exchange(to=to, input=[])


def test_instructions_alone_are_the_input() -> None:
    body = sent_body(to=NATIVE, input=[], instructions="Say hi.")
    assert body["input"] == [{"type": "message", "role": "system", "content": "Say hi."}]
    assert "instructions" not in body


def test_files_and_audio_have_the_responses_form() -> None:
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "x"}
    audio = {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}
    [message] = sent_items({"role": "user", "content": [file, audio]})
    assert message["content"] == [file, audio]


def test_native_calls_and_outputs_pass_and_stay_together() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "g", "namespace": "n",
            "arguments": "{}"}  # fmt: skip
    search = {"type": "tool_search_call", "call_id": "b", "arguments": {"query": "x"}}
    search_output = {"type": "tool_search_output", "call_id": "b", "tools": []}
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "p", "input": "x"}
    answer = {"type": "function_call_output", "call_id": "a", "output": "one"}
    late = {"type": "message", "role": "user", "content": "Well?"}
    converted = sent_items(USER, call, late, search, custom, answer, search_output, to=SOME)
    assert converted == [
        USER, call, answer, late, search, custom, search_output,
        {"type": "custom_tool_call_output", "call_id": "d",
         "output": "[no output: the call was not completed]"},
    ]  # fmt: skip


def test_native_tools_follow_the_functions() -> None:
    tools: list[Json] = [
        {"type": "custom", "name": "p"},
        {"type": "function", "name": "f"},
        {"type": "custom", "name": "p"},
        {"type": "namespace", "name": "n", "tools": []},
    ]
    body = sent_body(to=SOME, tools=tools, tool_choice={"type": "function", "name": "f"})
    assert [tool["type"] for tool in body["tools"]] == ["function", "custom", "namespace"]
    assert body["tool_choice"] == {"type": "function", "name": "f"}


def test_strict_is_sent_where_the_provider_knows_it() -> None:
    tool = {"type": "function", "name": "f", "strict": True, "parameters": {}}
    [function] = sent_body(to=NATIVE, tools=[tool])["tools"]
    assert function["strict"] is True
    [function] = sent_body(to=provider(dialect="responses", strict=False), tools=[tool])["tools"]
    assert "strict" not in function


def test_parallel_calls_are_sent_only_where_forbidden() -> None:
    tool = {"type": "function", "name": "f"}
    assert "parallel_tool_calls" not in sent_body(to=NATIVE, tools=[tool], parallel_tool_calls=True)
    assert not sent_body(to=NATIVE, tools=[tool], parallel_tool_calls=False)["parallel_tool_calls"]


def test_settings_apply_to_tools_that_come_in_the_input() -> None:
    """Codex declares tools in the input in its code mode."""
    tools = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom"}]}
    fields = {"tool_choice": "auto", "parallel_tool_calls": False}
    body = sent_body(to=PROVIDERS["chatgpt"], input=[tools, USER], **fields)
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", False)
    body = sent_body(to=PROVIDERS["chatgpt"], input=[tools, USER, TRIGGER], **fields)
    assert body["input"][0] == tools and body["tool_choice"] == "none"


@pytest.mark.parametrize(
    ("choice", "expected"), [("required", "required"), ("auto", None), ({"type": "mcp"}, None)]
)
def test_tool_choice_has_the_responses_form(choice: Any, expected: Any) -> None:
    tool = {"type": "function", "name": "f"}
    assert sent_body(to=NATIVE, tools=[tool], tool_choice=choice).get("tool_choice") == expected


def test_format_and_effort_have_the_responses_form() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    body = sent_body(to=NATIVE, text={"format": form}, reasoning={"effort": "high"})
    assert body["text"] == {"format": form} and body["reasoning"] == {"effort": "high"}
    words = provider(dialect="responses", formats=["json_object"])
    body = sent_body(to=words, text={"format": form})
    assert body["text"] == {"format": {"type": "json_object"}}
    assert "JSON alone" in body["input"][0]["content"]
    none = provider(dialect="responses", formats=[])
    assert responses_exchange(to=none, text={"format": {"type": "json_object"}}).dropped == [
        "text.format"
    ]


def test_reasoning_from_the_providers_chat_endpoint_goes_back_as_text() -> None:
    sealed = seal_envelope(Envelope("responses", "m", {"reasoning_content": "Hm."}))
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
    assistant = {"type": "message", "role": "assistant", "content": "Yes."}
    converted = sent_items(USER, thought, assistant, USER)
    assert converted[1]["content"] == [{"type": "reasoning_text", "text": "Hm."}]


def test_empty_reasoning_is_not_reported() -> None:
    exchange = responses_exchange(to=NATIVE, input=[USER, {"type": "reasoning", "summary": []}])
    assert exchange.dropped == []


def test_summary_request_leaves_out_whole_turns() -> None:
    small = NATIVE.model_copy(update={"context_window": 3_000})
    thought = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": seal_envelope(
        Envelope("responses", "m", {"item": {"type": "reasoning", "id": "r"}}))}  # fmt: skip
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    answer = {"type": "function_call_output", "call_id": "c", "output": "x" * 9_000}
    exchange = responses_exchange(
        to=small,
        instructions="Be brief.",
        input=[USER, thought, call, answer, {**USER, "content": "More."}, TRIGGER],
    )
    texts = [item["content"] for item in json.loads(exchange.body)["input"]]
    assert texts[0].startswith("[The ") and texts[-1].startswith(SUMMARY_PROMPT)
    assert texts[1:-1] == ["More."]
    assert exchange.dropped == ["input (the 4 oldest messages)"]


def test_output_without_a_call_becomes_text_also_as_the_first_item() -> None:
    answer = {"type": "function_call_output", "call_id": "c", "output": "x"}
    converted = sent_items(answer, {"type": "compaction_trigger"}, to=OPENAI)
    assert converted[0]["content"].endswith("call that is not in this conversation: c]\nx")


def test_verbosity_has_the_form_of_each_dialect() -> None:
    chat = provider(takes=["text.verbosity"])
    assert sent_body(to=chat, text={"verbosity": "low"})["verbosity"] == "low"
    native = provider(dialect="responses", takes=["text.verbosity"])
    assert sent_body(to=native, text={"verbosity": "low"})["text"] == {"verbosity": "low"}
