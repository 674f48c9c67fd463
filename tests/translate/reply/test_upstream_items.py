"""Items of a Responses upstream: function calls, native calls, text and reasoning."""

import pytest

from tests.translate.reply.test_responses_to_responses import (
    COMPLETED,
    NATIVE,
    added_event,
    call_item,
    delta_event,
    done_event,
    events_for,
)
from tests.translate.support import output, provider
from translate.wire.envelope import open_envelope


def test_calls_that_only_the_end_shows_have_unique_ids() -> None:
    nameless = [added_event({"type": "custom_tool_call"}, output_index=n) for n in (0, 1)]
    whole = [{"type": "custom_tool_call", "name": "p", "input": "", "call_id": n} for n in "ab"]
    ended = {**COMPLETED, "response": {"status": "completed", "output": whole}}
    items = output(events_for(*nameless, ended))
    assert len({item["id"] for item in items}) == len(items) == 2


def test_parsed_arguments_become_text_and_streamed_arguments_stay() -> None:
    whole = events_for(done_event(call_item("f", {"x": 1})), COMPLETED)
    assert output(whole)[0]["arguments"] == '{"x":1}'
    other = events_for(
        added_event(call_item("f", "")),
        delta_event("function_call_arguments", '{"x": 1}'),
        done_event(call_item("f", '{"x":1}')),
        COMPLETED,
    )
    assert output(other)[0]["arguments"] == '{"x": 1}'  # as the client has seen it


def test_name_of_a_call_may_come_last() -> None:
    events = events_for(
        added_event({"type": "function_call", "call_id": "c"}),
        delta_event("function_call_arguments", "{}"),
        done_event(call_item("n.g")),
        COMPLETED,
    )
    [item] = output(events)
    assert (item["namespace"], item["name"], item["arguments"]) == ("n", "g", "{}")


@pytest.mark.parametrize("status", ["incomplete", "failed"])
def test_incomplete_call_is_not_in_the_output(status: str) -> None:
    all_taken = provider(dialect="responses", tool_types=["*"])
    end = {"type": f"response.{status}", "response": {"status": status}}
    for to in (NATIVE, all_taken):
        start = added_event(call_item("f", ""), output_index=0)
        events = events_for(
            start, delta_event("function_call_arguments", '{"x', output_index=0), end, to=to
        )
        assert output(events) == []


def test_native_call_keeps_the_text_that_the_client_has_seen() -> None:
    to = provider(dialect="responses", tool_types=["*"])
    item = {"type": "custom_tool_call", "id": "u", "call_id": "c", "name": "p", "input": "other"}
    events = events_for(
        delta_event("custom_tool_call_input", "of nothing"),
        added_event({**item, "input": ""}),
        delta_event("custom_tool_call_input", "shown"),
        done_event(item),
        done_event({**item, "id": "v", "input": "two"}),
        COMPLETED,
        to=to,
    )
    first, second = output(events)
    assert (first["input"], second["input"]) == ("shown", "two")
    assert first["call_id"] == "c" != second["call_id"]


def test_name_of_a_native_call_may_come_last() -> None:
    begun = {"type": "custom_tool_call", "call_id": "c", "name": None, "input": ""}
    whole = {**begun, "name": "p", "input": "abc"}
    events = events_for(
        added_event(begun, output_index=0),
        delta_event("custom_tool_call_input", "ab", output_index=0),
        done_event(whole, output_index=0),
        COMPLETED,
        to=provider(dialect="responses", tool_types=["custom"]),
    )
    [item] = events[-1]["response"]["output"]
    assert (item["name"], item["input"]) == ("p", "abc")


def test_reasoning_is_sealed_as_the_upstream_sent_it() -> None:
    item = {"type": "reasoning", "id": "rs_9", "summary": [], "content": None,
            "encrypted_content": "sealed"}  # fmt: skip
    [item_out] = output(events_for(done_event(item), COMPLETED))
    envelope = open_envelope(item_out["encrypted_content"])
    assert envelope and envelope.payload["item"] == {
        "type": "reasoning", "id": "rs_9", "summary": [], "encrypted_content": "sealed",
    }  # fmt: skip
    assert envelope.provider_identity == "responses" and envelope.model == "upstream-model"


def test_text_in_another_form_arrives() -> None:
    for content in ("Hi.", [{"type": "text", "text": "Hi."}]):
        events = events_for(
            done_event({"type": "message", "role": "assistant", "content": content}), COMPLETED
        )
        [item] = events[-1]["response"]["output"]
        assert item["content"][0]["text"] == "Hi."
