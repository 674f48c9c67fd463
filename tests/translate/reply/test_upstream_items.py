"""Items of a Responses upstream: function calls, native calls, text and reasoning."""

from typing import Any

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
from tests.translate.support import (
    PROVIDERS,
    Json,
    events_wire,
    lawful_events,
    output,
    provider,
    responses_exchange,
)
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


ALL_TAKEN = provider(dialect="responses", tool_types=["*"])
URL_CITATION = {"type": "url_citation", "url": "https://a.example"}
CITED = {**URL_CITATION, "title": "", "start_index": 0, "end_index": 0}
FILE_PATH = {"type": "file_path", "file_id": "file-1", "index": 0}
SEARCH_CALL = {
    "type": "web_search_call", "id": "ws", "status": "searching",
    "action": {"type": "search", "query": "q"},
}  # fmt: skip


def reply_to(item: Json, to: Any = NATIVE) -> tuple[Json, list[str]]:
    """The client's item for an upstream's, and what was dropped."""
    exchange = responses_exchange(to=to, tools=[])
    wire = exchange.feed(events_wire(done_event(item), COMPLETED))
    [client_item] = output(lawful_events(wire))
    return client_item, exchange.dropped


def text_part(**fields: Any) -> Json:
    part = {"type": "output_text", "text": "Hi.", **fields}
    return {"type": "message", "role": "assistant", "content": [part]}


@pytest.mark.parametrize("annotations", ["x", 5, {"a": 1}, [5], [{}], [{"type": 5}],
                                         [{"type": "file_path", "file_id": 5, "index": 0}],
                                         [{**CITED, "end_index": True}]])  # fmt: skip
def test_malformed_annotations_are_dropped_and_noted(annotations: Any) -> None:
    item, dropped = reply_to(text_part(annotations=annotations))
    assert item["content"][0]["annotations"] == []
    assert dropped == ["annotations"]


@pytest.mark.parametrize("annotations", [None, [], "", {}])
def test_text_without_annotations_has_an_empty_list(annotations: Any) -> None:
    item, dropped = reply_to(text_part(annotations=annotations))
    assert item["content"][0]["annotations"] == dropped == []


def test_annotations_get_the_fields_that_they_lack() -> None:
    item, dropped = reply_to(text_part(annotations=[URL_CITATION, 5, FILE_PATH]))
    assert item["content"][0]["annotations"] == [CITED, FILE_PATH]
    assert dropped == ["annotations"]


def test_wrong_log_probabilities_are_left_out() -> None:
    item, _ = reply_to(text_part(logprobs=[5, {"token": "Hi.", "logprob": -1}]))
    token = {"token": "Hi.", "bytes": [72, 105, 46], "logprob": -1, "top_logprobs": []}
    assert item["content"][0]["logprobs"] == [token]


@pytest.mark.parametrize("phase", [5, [], "x"])
def test_unknown_phase_of_a_message_is_dropped_and_noted(phase: Any) -> None:
    item, dropped = reply_to({**text_part(), "phase": phase})
    assert "phase" not in item and dropped == ["output (message).phase"]


@pytest.mark.parametrize("phase", [None, "commentary"])
def test_phase_of_a_message_passes(phase: Any) -> None:
    item, dropped = reply_to({**text_part(), "phase": phase})
    assert item.get("phase") == phase and dropped == []


def test_fields_of_the_wrong_type_are_dropped_and_noted() -> None:
    item, dropped = reply_to({**SEARCH_CALL, "id": ["x"], "status": 5, "name": {}})
    assert item == {**SEARCH_CALL, "id": item["id"], "status": "completed"}
    assert dropped == ["output (web_search_call).id", "output (web_search_call).name"]


def test_item_without_an_id_gets_one() -> None:
    assert reply_to({**SEARCH_CALL, "id": ""})[0]["id"]


def test_status_that_no_call_has_is_repaired() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "p", "input": "x", "status": "done"}
    item, dropped = reply_to(call, ALL_TAKEN)
    assert item["status"] == "completed" and dropped == []


def test_native_call_without_a_name_or_text_is_well_formed() -> None:
    call = {"type": "function_call", "call_id": "c", "name": 5, "arguments": {"x": 1}}
    item, dropped = reply_to(call, ALL_TAKEN)
    assert (item["name"], item["arguments"]) == ("", '{"x":1}')
    assert dropped == ["output (function_call).name"]


def test_item_without_a_type_is_noted() -> None:
    exchange = responses_exchange(to=PROVIDERS["responses"])
    items = [done_event({"type": 5}), done_event(text_part())]
    events = lawful_events(exchange.feed(events_wire(*items, COMPLETED)))
    assert len(output(events)) == 1
    assert exchange.dropped == ["output (an item without a type)"]
