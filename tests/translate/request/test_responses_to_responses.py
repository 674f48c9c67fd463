"""The request to an upstream of the client's own dialect; whole ones: tests/cases/responses."""

import json
from typing import Any

import pytest

from tests.translate.support import PROVIDERS, Json, carry, provider, sent
from translate import BadRequest
from translate.state.compaction import PROMPT
from translate.wire.envelope import Envelope, seal

NATIVE = PROVIDERS["responses"]
OPENAI = PROVIDERS["openai"]
USER = {"type": "message", "role": "user", "content": "Go."}
TRIGGER = {"type": "compaction_trigger"}
SOME = provider(dialect="responses", tool_types=["custom", "namespace", "tool_search"])


def items(*given: Json, to: Any = NATIVE, **fields: Any) -> list[Json]:
    made: list[Json] = sent(to=to, input=list(given), **fields)["input"]
    return made


def test_nothing_to_answer_is_refused() -> None:
    for to in (NATIVE, OPENAI):
        with pytest.raises(BadRequest, match="nothing to answer"):
            carry(to=to, input=[])


def test_instructions_alone_are_the_input() -> None:
    made = sent(to=NATIVE, input=[], instructions="Say hi.")
    assert made["input"] == [{"type": "message", "role": "system", "content": "Say hi."}]
    assert "instructions" not in made


def test_files_and_audio_have_the_form_of_the_dialect() -> None:
    file = {"type": "input_file", "filename": "a.pdf", "file_data": "x"}
    audio = {"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}
    [made] = items({"role": "user", "content": [file, audio]})
    assert made["content"] == [file, audio]


def test_native_calls_and_outputs_pass_and_keep_together() -> None:
    call = {"type": "function_call", "call_id": "a", "name": "g", "namespace": "n",
            "arguments": "{}"}  # fmt: skip
    search = {"type": "tool_search_call", "call_id": "b", "arguments": {"query": "x"}}
    found = {"type": "tool_search_output", "call_id": "b", "tools": []}
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "p", "input": "x"}
    answer = {"type": "function_call_output", "call_id": "a", "output": "one"}
    late = {"type": "message", "role": "user", "content": "Well?"}
    made = items(USER, call, late, search, custom, answer, found, to=SOME)
    assert made == [
        USER, call, answer, late, search, custom, found,
        {"type": "custom_tool_call_output", "call_id": "d",
         "output": "[no output: the call was not completed]"},
    ]  # fmt: skip


def test_native_tools_stand_behind_the_functions() -> None:
    tools: list[Json] = [
        {"type": "custom", "name": "p"},
        {"type": "function", "name": "f"},
        {"type": "custom", "name": "p"},
        {"type": "namespace", "name": "n", "tools": []},
    ]
    made = sent(to=SOME, tools=tools, tool_choice={"type": "function", "name": "f"})
    assert [tool["type"] for tool in made["tools"]] == ["function", "custom", "namespace"]
    assert made["tool_choice"] == {"type": "function", "name": "f"}


def test_strict_is_said_where_it_is_known() -> None:
    tool = {"type": "function", "name": "f", "strict": True, "parameters": {}}
    [made] = sent(to=NATIVE, tools=[tool])["tools"]
    assert made["strict"] is True
    [made] = sent(to=provider(dialect="responses", strict=False), tools=[tool])["tools"]
    assert "strict" not in made


def test_parallel_calls_are_left_to_the_provider_unless_forbidden() -> None:
    tool = {"type": "function", "name": "f"}
    assert "parallel_tool_calls" not in sent(to=NATIVE, tools=[tool], parallel_tool_calls=True)
    assert not sent(to=NATIVE, tools=[tool], parallel_tool_calls=False)["parallel_tool_calls"]


def test_tools_in_the_input_are_not_to_be_called_for_a_summary_or_two_at_a_time() -> None:
    """As Codex declares them in its code mode."""
    tools = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom"}]}
    fields = {"tool_choice": "auto", "parallel_tool_calls": False}
    made = sent(to=PROVIDERS["chatgpt"], input=[tools, USER], **fields)
    assert (made["tool_choice"], made["parallel_tool_calls"]) == ("auto", False)
    made = sent(to=PROVIDERS["chatgpt"], input=[tools, USER, TRIGGER], **fields)
    assert made["input"][0] == tools and made["tool_choice"] == "none"


@pytest.mark.parametrize(
    ("choice", "made"), [("required", "required"), ("auto", None), ({"type": "mcp"}, None)]
)
def test_tool_choice(choice: Any, made: Any) -> None:
    tool = {"type": "function", "name": "f"}
    assert sent(to=NATIVE, tools=[tool], tool_choice=choice).get("tool_choice") == made


def test_format_and_effort_have_the_form_of_the_dialect() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}}
    made = sent(to=NATIVE, text={"format": form}, reasoning={"effort": "high"})
    assert made["text"] == {"format": form} and made["reasoning"] == {"effort": "high"}
    words = provider(dialect="responses", formats=["json_object"])
    made = sent(to=words, text={"format": form})
    assert made["text"] == {"format": {"type": "json_object"}}
    assert "JSON alone" in made["input"][0]["content"]
    none = provider(dialect="responses", formats=[])
    assert carry(to=none, text={"format": {"type": "json_object"}}).dropped == ["text.format"]


def test_thinking_of_the_same_provider_in_chat_goes_back_as_words() -> None:
    sealed = seal(Envelope("responses", "m", {"reasoning_content": "Hm."}))
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
    said = {"type": "message", "role": "assistant", "content": "Yes."}
    made = items(USER, thought, said, USER)
    assert made[1]["content"] == [{"type": "reasoning_text", "text": "Hm."}]


def test_empty_thinking_is_no_loss() -> None:
    crossing = carry(to=NATIVE, input=[USER, {"type": "reasoning", "summary": []}])
    assert crossing.dropped == []


def test_summary_leaves_out_the_oldest_turns_whole() -> None:
    small = NATIVE.model_copy(update={"context_window": 3_000})
    thought = {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": seal(
        Envelope("responses", "m", {"item": {"type": "reasoning", "id": "r"}}))}  # fmt: skip
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    answer = {"type": "function_call_output", "call_id": "c", "output": "x" * 9_000}
    crossing = carry(
        to=small,
        instructions="Be brief.",
        input=[USER, thought, call, answer, {**USER, "content": "More."}, TRIGGER],
    )
    texts = [item["content"] for item in json.loads(crossing.body)["input"]]
    assert texts[0].startswith("[The ") and texts[-1].startswith(PROMPT)
    assert texts[1:-1] == ["More."]
    assert crossing.dropped == ["input (the 4 oldest messages)"]


def test_output_that_stands_first_is_no_reason_to_lose_it() -> None:
    answer = {"type": "function_call_output", "call_id": "c", "output": "x"}
    made = items(answer, {"type": "compaction_trigger"}, to=OPENAI)
    assert made[0]["content"].endswith("call that is not in this conversation: c]\nx")


def test_verbosity_has_the_form_of_each_dialect() -> None:
    chat = provider(takes=["text.verbosity"])
    assert sent(to=chat, text={"verbosity": "low"})["verbosity"] == "low"
    native = provider(dialect="responses", takes=["text.verbosity"])
    assert sent(to=native, text={"verbosity": "low"})["text"] == {"verbosity": "low"}
