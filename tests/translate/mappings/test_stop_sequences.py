"""`stop` applied by us: the text ends where the service would have ended it, however it comes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.translate.reply.test_responses_to_responses import added, delta, done, message
from tests.translate.support import (
    ACCOUNT,
    PROVIDERS,
    Json,
    ask,
    events_wire,
    lawful_chunks,
    pieces,
)
from translate import BadRequest
from translate.mappings.stop_sequences import Stops
from translate.mappings.stop_sequences import cut as items_cut
from translate.reply.responses_to_chat import fold

TEXTS = st.text("ab\n", max_size=12)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)


def cut(text: str, stops: list[str]) -> tuple[str, bool]:
    """The plain truth: read on until a sequence is whole."""
    for end in range(1, len(text) + 1):
        if fits := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, fits))], True
    return text, False


@given(TEXTS, STOPS, st.data())
def test_every_split_is_cut_at_the_same_place(text: str, stops: list[str], data: Any) -> None:
    machine, said = Stops(stops), ""
    for piece in data.draw(pieces(text.encode())):
        piece = machine.feed(piece.decode())[0]
        said += piece
        if machine.found is not None:
            break
    else:
        said += machine.close()[0]
    assert (said, machine.found is not None) == cut(text, stops)


def test_no_more_is_held_back_than_may_be_a_beginning() -> None:
    machine = Stops(["STOP"])
    assert machine.feed("a S") == ("a ", [])
    assert machine.feed("Tx") == ("STx", [])
    assert machine.feed("ST") == ("", [])
    assert machine.close() == ("ST", [])
    assert Stops([]).feed("all") == ("all", [])


def test_probabilities_leave_with_their_text() -> None:
    machine = Stops(["STOP"])
    a, b, c, d = ({"token": token} for token in ("a ", "S", "x", "STOP"))
    assert machine.feed("a S", [a, b]) == ("a ", [a])
    assert machine.feed("x", [c]) == ("Sx", [b, c])
    assert machine.feed("STOP", [d]) == ("", [])


def told(*events: Json, to: Any = ACCOUNT, **fields: Any) -> list[Json]:
    crossing = ask(fields, to=to, stream_options={"include_usage": True})
    return lawful_chunks(crossing.feed(events_wire(*events)) + crossing.feed(b""))


CALL = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
USAGE = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
END = {"type": "response.completed", "response": {"status": "completed", "usage": USAGE}}
LONG = {
    "type": "response.incomplete",
    "response": {
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": USAGE,
    },
}


@pytest.mark.parametrize("end", [END, LONG], ids=["whole", "too long"])
def test_what_follows_is_not_told_but_the_usage_is(end: Json) -> None:
    events = [
        added(message(""), output_index=0),
        *(delta("output_text", text, output_index=0) for text in ("One. ST", "OP two.", " Three.")),
        done(message("One. STOP two. Three."), output_index=0),
        added(CALL, output_index=1),
        done(CALL, output_index=1),
        end,
    ]
    made = fold(told(*events, stop="STOP", tools=[TOOL]))
    [choice] = made["choices"]
    assert choice["message"] == {"role": "assistant", "content": "One. ", "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert made["usage"]["completion_tokens"] == 3


TOOL = {"type": "function", "function": {"name": "f"}}


def test_a_beginning_that_comes_to_nothing_is_text() -> None:
    events = [
        added(message(""), output_index=0),
        delta("output_text", "One. ST", output_index=0),
        done(message("One. ST"), output_index=0),
        added(message(""), output_index=1),
        delta("output_text", "OP", output_index=1),
        done(message("OP"), output_index=1),
        END,
    ]
    [choice] = fold(told(*events, stop=["STOP"]))["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("One. ST\n\nOP", "stop")


def test_who_knows_the_parameter_gets_it() -> None:
    for stop, sent in (("x", "x"), (["x", ""], ["x", ""])):
        made = ask(stop=stop, to=PROVIDERS["responses"])
        assert json.loads(made.body)["stop"] == sent
        made = ask(stop=stop)
        assert "stop" not in json.loads(made.body)
        assert "stop" not in made.dropped


def test_what_is_none_is_refused() -> None:
    with pytest.raises(BadRequest, match="^stop"):
        ask(stop=5)


def test_nothing_to_stop_at_is_nothing() -> None:
    assert ask(stop=[]).dropped == ask(stop="").dropped == []


def test_items_are_cut_where_the_text_was() -> None:
    def item(*parts: Json) -> Json:
        return {"type": "message", "content": list(parts)}

    refusal, thought = {"type": "refusal", "refusal": "No."}, {"type": "reasoning"}
    output = [thought, item({"text": "One"}, refusal), item({"text": "Two"}), thought]
    assert items_cut(output, 3, 2) == output[:2]
    assert items_cut(output, 6, 2) == [*output[:2], item({"text": "T"})]
    assert items_cut(output, 0, 2) == [thought, item({"text": ""}, refusal)]
