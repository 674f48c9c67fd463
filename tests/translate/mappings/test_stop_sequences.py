"""`stop` applied by the relay: the text ends where the provider would have ended it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.reply.test_responses_to_responses import (
    added_event,
    delta_event,
    done_event,
    message_item,
)
from tests.translate.support import (
    ACCOUNT,
    PROVIDERS,
    Json,
    chat_exchange,
    events_wire,
    lawful_chunks,
    pieces,
)
from translate import BadRequest
from translate.mappings.stop_sequences import StopSequences, cut_items
from translate.reply.responses_to_chat import fold_chunks

TEXTS = st.text("ab\n", max_size=12)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)


def cut_at_stop(text: str, stops: list[str]) -> tuple[str, bool]:
    """The text before the first whole sequence, and whether there is one."""
    for end in range(1, len(text) + 1):
        if fits := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, fits))], True
    return text, False


@given(TEXTS, STOPS, st.data())
def test_text_is_cut_alike_at_every_split(text: str, stops: list[str], data: Any) -> None:
    machine, passed_text = StopSequences(stops), ""
    for piece in data.draw(pieces(text.encode())):
        passed_text += machine.feed(piece.decode())[0]
        if machine.matched_stop is not None:
            break
    else:
        passed_text += machine.close()[0]
    assert (passed_text, machine.matched_stop is not None) == cut_at_stop(text, stops)


def test_only_the_possible_start_of_a_sequence_waits() -> None:
    machine = StopSequences(["STOP"])
    assert machine.feed("a S") == ("a ", [])
    assert machine.feed("Tx") == ("STx", [])
    assert machine.feed("ST") == ("", [])
    assert machine.close() == ("ST", [])
    assert StopSequences([]).feed("all") == ("all", [])


def test_logprobs_leave_with_their_text() -> None:
    machine = StopSequences(["STOP"])
    a, b, c, d = ({"token": token} for token in ("a ", "S", "x", "STOP"))
    assert machine.feed("a S", [a, b]) == ("a ", [a])
    assert machine.feed("x", [c]) == ("Sx", [b, c])
    assert machine.feed("STOP", [d]) == ("", [])


def chunks_for(*events: Json, to: Any = ACCOUNT, **fields: Any) -> list[Json]:
    exchange = chat_exchange(fields, to=to, stream_options={"include_usage": True})
    return lawful_chunks(exchange.feed(events_wire(*events)) + exchange.feed(b""))


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
USAGE = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
END = {"type": "response.completed", "response": {"status": "completed", "usage": USAGE}}
TRUNCATED = {
    "type": "response.incomplete",
    "response": {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": USAGE,
    },
}


@pytest.mark.parametrize("end", [END, TRUNCATED], ids=["complete", "truncated"])
def test_what_follows_a_stop_is_left_out_but_its_usage_counts(end: Json) -> None:
    events = [
        added_event(message_item(""), output_index=0),
        *(
            delta_event("output_text", text, output_index=0)
            for text in ("One. ST", "OP two.", " Three.")
        ),
        done_event(message_item("One. STOP two. Three."), output_index=0),
        added_event(CALL, output_index=1),
        done_event(CALL, output_index=1),
        end,
    ]
    completion = fold_chunks(chunks_for(*events, stop="STOP", tools=[TOOL]))
    [choice] = completion["choices"]
    assert choice["message"] == {"role": "assistant", "content": "One. ", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert completion["usage"]["completion_tokens"] == 3


TOOL = {"type": "function", "function": {"name": "f"}}


def test_start_of_a_sequence_that_does_not_continue_is_text() -> None:
    events = [
        added_event(message_item(""), output_index=0),
        delta_event("output_text", "One. ST", output_index=0),
        done_event(message_item("One. ST"), output_index=0),
        added_event(message_item(""), output_index=1),
        delta_event("output_text", "OP", output_index=1),
        done_event(message_item("OP"), output_index=1),
        END,
    ]
    [choice] = fold_chunks(chunks_for(*events, stop=["STOP"]))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("One. ST\n\nOP", "stop")


def test_stop_is_sent_to_an_upstream_that_knows_it() -> None:
    for stop, sent in (("x", "x"), (["x", ""], ["x", ""])):
        exchange = chat_exchange(stop=stop, to=PROVIDERS["responses"])
        assert json.loads(exchange.body)["stop"] == sent
        exchange = chat_exchange(stop=stop)
        assert "stop" not in json.loads(exchange.body)
        assert "stop" not in exchange.dropped


def test_stop_of_another_type_is_refused() -> None:
    with pytest.raises(BadRequest, match="^stop"):
        chat_exchange(stop=5)


def test_empty_stop_is_not_reported() -> None:
    assert chat_exchange(stop=[]).dropped == chat_exchange(stop="").dropped == []


def test_items_end_where_the_text_ends() -> None:
    def message_of(*parts: Json) -> Json:
        return {"type": "message", "content": list(parts)}

    refusal, thought = {"type": "refusal", "refusal": "No."}, {"type": "reasoning"}
    output = [thought, message_of({"text": "One"}, refusal), message_of({"text": "Two"}), thought]
    assert cut_items(output, 3, 2) == output[:2]
    assert cut_items(output, 6, 2) == [*output[:2], message_of({"text": "T"})]
    assert cut_items(output, 0, 2) == [thought, message_of({"text": ""}, refusal)]


@pytest.mark.parametrize("stop", [["a" * 257], [str(number) for number in range(17)]])
def test_more_than_the_relay_looks_for_is_refused(stop: list[str]) -> None:
    with pytest.raises(BadRequest, match="stop: the relay takes at most 16 sequences"):
        chat_exchange(stop=stop)
