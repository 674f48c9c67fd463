"""A Chat client that keeps plain messages only, beside one that keeps reasoning_details too."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translate.cases import CHATS, Case
from tests.translate.reply.test_responses_to_chat import COMPLETED
from tests.translate.reply.test_responses_to_responses import EVENTS, done, message
from tests.translate.support import (
    ACCOUNT,
    PROVIDERS,
    TEXTS,
    VALUES,
    Json,
    ask,
    chunks_of,
    events_wire,
    way,
)
from translate import Envelope, Provider, exchange, forgotten, remember, restored, seal, unseal
from translate.mappings.reasoning import DETAILS, detail
from translate.reply.responses_to_chat import fold
from translate.state.reasoning_memory import reply

Items = list[Json]
Notes = dict[str, bytes]
OWNER = "ann"
THINKING = ("reasoning_content", DETAILS)
KEEPING = ("role", "content", "tool_calls", "function_call", "tool_call_id", "name")


def thought(id: str) -> Json:
    said = [{"type": "summary_text", "text": f"About {id}."}]
    return {
        "type": "reasoning", "id": f"rs_{id}", "summary": said, "encrypted_content": f"gAAA-{id}",
    }  # fmt: skip


def unique(name: str) -> str:
    return f"call_{name:x<24}"


def call(name: str, id: str, **arguments: Any) -> Json:
    text = json.dumps(arguments, separators=(",", ":"))
    return {"type": "function_call", "call_id": id, "name": name, "arguments": text}


def user(text: Any) -> Json:
    return {"role": "user", "content": text}


def result(id: str, text: Any) -> Json:
    return {"role": "tool", "tool_call_id": id, "content": text}


def answered(messages: Items, *items: Json, owner: str = OWNER) -> tuple[Json, Notes]:
    """The message of a reply as a client has it, and what is remembered."""
    crossing = ask(messages=messages)
    events = [done(item, output_index=n) for n, item in enumerate(items)]
    chunks = [c for c in chunks_of(crossing.feed(events_wire(*events, COMPLETED))) if "id" in c]
    made = fold(chunks)["choices"][0]["message"]
    return made, remember({"model": "m", "messages": messages}, crossing.response["output"], owner)


def plain(messages: Items) -> Items:
    return [{k: v for k, v in one.items() if k in KEEPING} for one in messages]


def back(messages: Items, notes: Notes, owner: str = OWNER) -> Items:
    """The messages of a plain client, after they were restored."""
    body = {"model": "m", "messages": messages}
    made: Items = restored(body, forgotten(body, owner), notes)["messages"]
    return made


def kept(messages: Items, notes: Notes, owner: str = OWNER) -> list[list[str]]:
    """The ids of the reasoning that each of the assistant's messages got."""
    made = back(messages, notes, owner)
    return [
        [_made_as(one) for one in message.get(DETAILS, ())]
        for message in made
        if message["role"] == "assistant"
    ]


def _made_as(detail: Json) -> str:
    """The id that the upstream gave it."""
    envelope = unseal(detail["data"])
    assert envelope
    return str(envelope.state["item"]["id"])


def sent(messages: Items, to: Provider = ACCOUNT) -> bytes:
    return ask(to=to, messages=messages).body


def loop(first: str, second: str) -> tuple[Items, Notes]:
    """A tool loop: two parallel calls, one more, and a text; the calls have these ids."""
    talk = [{"role": "system", "content": "Today is Monday."}, user("Weather in Rome and Oslo?")]
    made, notes = answered(
        talk,
        thought("a"),
        message("I shall look."),
        call("weather", f"{first}1", city="Rome", days=1.0),
        thought("b"),
        call("weather", f"{first}2", city="Oslo", days=2.5),
    )
    talk = [*talk, made, result(f"{first}1", "Sunny."), result(f"{first}2", '{"c": 5}')]
    made, more = answered(talk, thought("c"), call("clock", f"{second}3"))
    talk, notes = [*talk, made, result(f"{second}3", "12:00")], notes | more
    made, more = answered(talk, thought("d"), message("Sunny in Rome."), message("Cold in Oslo."))
    return [*talk, made], notes | more


OWN, COUNTED = (unique("a"), unique("b")), ("call_", "call_")
ids = pytest.mark.parametrize("names", [OWN, COUNTED], ids=["own", "counted"])
ALL = [["rs_a", "rs_b"], ["rs_c"], ["rs_d"]]


@ids
def test_tool_loop_goes_up_as_that_of_a_client_that_keeps_everything(
    names: tuple[str, str],
) -> None:
    talk, notes = loop(*names)
    talk = [*talk, user("Thanks.")]
    assert sent(plain(talk)) != sent(talk)
    assert sent(back(plain(talk), notes)) == sent(talk)
    items = json.loads(sent(back(plain(talk), notes)))["input"]
    kinds = [item.get("id") if item["type"] == "reasoning" else item["type"] for item in items]
    assert kinds == [
        "message", "rs_a", "rs_b", "message", "function_call", "function_call",
        "function_call_output", "function_call_output", "rs_c", "function_call",
        "function_call_output", "rs_d", "message", "message",
    ]  # fmt: skip
    assert items[1] == thought("a")


def test_each_step_of_a_loop_has_what_came_before() -> None:
    talk, notes = loop(*COUNTED)
    for end, seen in ((3, 1), (5, 1), (7, 2), (8, 3)):
        assert kept(plain(talk[:end]), notes) == ALL[:seen]


def test_client_that_keeps_its_details_is_left_alone() -> None:
    talk, notes = loop(*OWN)
    assert forgotten({"model": "m", "messages": talk}, OWNER) == {}
    assert back(talk, notes) == talk
    some = [*plain(talk[:3]), *talk[3:]]
    assert sent(back(some, notes)) == sent(talk)


def test_details_of_any_form_are_the_clients_own() -> None:
    talk, notes = loop(*COUNTED)
    odd = [{**one, DETAILS: [5, {"data": 5}]} for one in plain(talk[:3])]
    assert back([*odd, *plain(talk[3:])], notes)[:3] == odd
    assert kept([*plain(talk[:2]), *plain(talk[2:])], notes) == ALL


def test_what_a_client_gave_is_not_changed() -> None:
    talk, notes = loop(*OWN)
    body = {"model": "m", "messages": plain(talk)}
    before = json.dumps(body)
    restored(body, forgotten(body, OWNER), notes)
    assert json.dumps(body) == before


# One client writes a history otherwise than another; it is the same history.
Change = Callable[[Json], Json]


def each_call(change: Callable[[Json], Json]) -> Change:
    def changed(one: Json) -> Json:
        calls = [change(call) for call in one.get("tool_calls") or ()]
        return {**one, "tool_calls": calls} if calls else one

    return changed


def rewritten(arguments: Any) -> Any:
    """As JavaScript would: in another order, spaced, and without the .0 of a number."""
    return json.dumps(dict(reversed(json.loads(arguments).items())), indent=2).replace(".0", "")


def written(write: Callable[[str], Any]) -> Change:
    return each_call(
        lambda c: {
            **c,
            "function": {**c["function"], "arguments": write(c["function"]["arguments"])},
        }
    )


SAME: dict[str, Change] = {
    "as it is": lambda one: one,
    "parts": lambda one: {**one, "content": [{"type": "text", "text": one["content"] or ""}]},
    "empty text": lambda one: {**one, "content": one["content"] or ""},
    "no text": lambda one: {k: v for k, v in one.items() if v is not None},
    "trimmed": lambda one: {**one, "content": (one["content"] or "").strip()},
    "spaced": lambda one: {**one, "content": f"\n{one['content'] or ''} "},
    "CRLF": lambda one: {**one, "content": (one["content"] or "").replace("\n", "\r\n")},
    "other system": lambda one: one | ({"content": "Tuesday"} if one["role"] == "system" else {}),
    "developer": lambda one: one | ({"role": "developer"} if one["role"] == "system" else {}),
    "cached": lambda one: {
        **one,
        "content": [
            {"type": "text", "text": one["content"] or "", "cache_control": {"type": "ephemeral"}}
        ],
    },
    "arguments written anew": written(rewritten),
    "arguments as objects": written(json.loads),
    "calls without type": each_call(lambda c: {k: v for k, v in c.items() if k != "type"}),
    "named": lambda one: {**one, "name": "somebody"},
}


@ids
@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_same_history_written_otherwise_is_known(change: Change, names: tuple[str, str]) -> None:
    talk, notes = loop(*names)
    assert kept([change(one) for one in plain(talk)], notes) == ALL


@ids
def test_call_ids_may_be_rewritten(names: tuple[str, str]) -> None:
    talk, notes = loop(*names)
    again = each_call(lambda c: {**c, "id": "new-" + c["id"]})
    assert kept([again(one) for one in plain(talk)], notes) == ALL


def test_parallel_calls_told_apart_have_their_reasoning_once_before_the_first() -> None:
    talk, notes = loop(*OWN)
    both = plain(talk)[2]
    one, two = ({**both, "tool_calls": [call]} for call in both["tool_calls"])
    apart = [*talk[:2], one, talk[3], two, talk[4]]
    assert kept(plain(apart), notes) == [["rs_a", "rs_b"], []]


def test_same_message_twice_has_its_reasoning_once() -> None:
    talk, notes = loop(*OWN)
    assert kept(plain([*talk[:5], *talk[2:5]]), notes) == [["rs_a", "rs_b"], []]
    assert kept([*talk[:5], *plain(talk[2:5])], notes) == [["rs_a", "rs_b"], []]


# Another history is another one.


def test_after_an_earlier_message_was_changed_only_calls_of_their_own_ids_are_known() -> None:
    for names, known in ((COUNTED, [[], [], []]), (OWN, [["rs_a", "rs_b"], ["rs_c"], []])):
        talk, notes = loop(*names)
        assert kept([user("Weather in Paris and Oslo?"), *plain(talk[2:])], notes) == known


def test_after_a_history_was_cut_only_calls_of_their_own_ids_are_known() -> None:
    for names, known in ((COUNTED, [[], []]), (OWN, [["rs_c"], []])):
        talk, notes = loop(*names)
        summary = user("We have spoken of the weather.")
        assert kept([summary, *plain(talk[5:])], notes) == known
        assert kept(plain(talk[5:]), notes) == known


@ids
def test_what_a_tool_said_counts(names: tuple[str, str]) -> None:
    talk, notes = loop(*names)
    other = [*plain(talk[:3]), result("x", "Rain."), *plain(talk[4:])]
    assert kept(other, notes)[0] == ["rs_a", "rs_b"]
    assert kept(other, notes)[2] == []


OTHER: dict[str, Change] = {
    "arguments": written(lambda text: text.replace("Rome", "Bonn").replace("{}", '{"a":1}')),
    "name": each_call(lambda c: {**c, "function": {**c["function"], "name": "climate"}}),
    "no calls": lambda one: {k: v for k, v in one.items() if k != "tool_calls"},
}


@ids
@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_another_call_is_another_message(change: Change, names: tuple[str, str]) -> None:
    talk, notes = loop(*names)
    assert kept([change(one) for one in plain(talk)], notes) == [[], [], []]


@pytest.mark.parametrize("text", ["Sunny in Rome.", "Sunny in Rome. Cold in Oslo.", ""])
def test_another_text_is_another_message(text: str) -> None:
    talk, notes = loop(*OWN)
    assert kept([*plain(talk[:7]), {"role": "assistant", "content": text}], notes)[2] == []


def test_branches_do_not_see_each_other() -> None:
    begun, notes = [user("A tale?")], {}
    made, notes = answered(begun, thought("0"), message("Once …"))
    begun = [*begun, made]
    ends = {}
    for name in ("sad", "merry"):
        asked = [*begun, user(f"Make it {name}.")]
        made, more = answered(asked, thought(name), message("So be it."))
        ends[name], notes = [*asked, made], notes | more
    for name, talk in ends.items():
        assert kept(plain(talk), notes) == [["rs_0"], [f"rs_{name}"]]


def test_conversations_whose_calls_are_counted_do_not_see_each_other() -> None:
    notes: Notes = {}
    talks = []
    for name in ("one", "two"):
        asked = [user(f"List {name}.")]
        made, more = answered(asked, thought(name), call("list", "functions.list:0"))
        talks.append([*asked, made])
        notes |= more
    assert [kept(plain(talk), notes) for talk in talks] == [[["rs_one"]], [["rs_two"]]]


@pytest.mark.parametrize(
    "id",
    [
        "call_AbCdEfGhIjKlMnOpQrStUvWx", "toolu_01A09q90qw90lq917835lq9a", "0" * 32,
        "chatcmpl-tool-2f5c0f0d1f5b4c8f9d5d3a3d2f1e0c9b", "call_00_AbCdEfGhIjKlMnOpQrStUvWx",
        "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "call_1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    ],
)  # fmt: skip
def test_ids_that_are_nowhere_else(id: str) -> None:
    talk, notes = answered([user("A")], thought("a"), call("f", id))
    assert len(notes) == 2
    assert kept(plain([user("B"), talk]), notes) == [["rs_a"]]


@pytest.mark.parametrize(
    "id", ["call_1", "", "0", "functions.listAllFilesAndFolders2:0", "call-listAllFilesAndFolders2"]
)
def test_ids_that_may_be_anywhere(id: str) -> None:
    talk, notes = answered([user("A")], thought("a"), call("listAllFilesAndFolders2", id))
    assert len(notes) == 1
    assert kept(plain([user("B"), talk]), notes) == [[]]
    assert kept(plain([user("A"), talk]), notes) == [["rs_a"]]


@ids
def test_what_one_owner_is_told_no_other_finds(names: tuple[str, str]) -> None:
    talk, notes = loop(*names)
    for other in ("bob", "", "ann ", '"ann"'):
        assert kept(plain(talk), notes, other) == [[], [], []]


# Other forms


def test_custom_call_and_the_legacy_function_are_calls() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "note", "input": " a\n{b"}
    made, notes = answered([user("A")], thought("a"), custom)
    assert kept(plain([user("A"), made]), notes) == [["rs_a"]]
    for name, arguments, known in (("f", " { } ", ["rs_a"]), ("f", "", ["rs_a"]), ("g", "", [])):
        _, notes = answered([user("A")], thought("a"), call("f", unique("c")))
        legacy = {"role": "assistant", "function_call": {"name": name, "arguments": arguments}}
        talk = [user("A"), legacy, {"role": "function", "name": "f", "content": "x"}]
        assert kept(talk, notes) == [known]


def test_refusal_is_a_text() -> None:
    said = {"type": "message", "content": [{"type": "refusal", "refusal": "I can't."}]}
    made, notes = answered([user("A")], thought("a"), said)
    assert kept([user("A"), made | {DETAILS: []}], notes) == [["rs_a"]]
    assert kept([user("A"), {"role": "assistant", "content": "I can't."}], notes) == [["rs_a"]]
    part = {"type": "refusal", "refusal": "I can't."}
    assert kept([user("A"), {"role": "assistant", "content": [part]}], notes) == [["rs_a"]]


def picture(url: str, **more: Any) -> Json:
    return {"type": "image_url", "image_url": {"url": url}, **more}


def test_pictures_count_and_what_stands_beside_them_does_not() -> None:
    text = {"type": "text", "text": "What is it?"}
    made, notes = answered(
        [user([text, picture("data:image/png;base64,QQ==")])], thought("a"), message("A cat.")
    )
    same = user([text, picture("data:image/png;base64,QQ==", cache_control={"type": "x"})])
    assert kept(plain([same, made]), notes) == [["rs_a"]]
    assert kept(plain([user([text, picture("data:image/png;base64,Qg==")]), made]), notes) == [[]]
    assert kept(plain([user("What is it?"), made]), notes) == [[]]


def test_nothing_is_remembered_where_nothing_can_be_put_back() -> None:
    body = {"model": "m", "messages": [user("A")]}
    assert answered([user("A")], message("B"))[1] == {}
    assert answered([user("A")], {**thought("a"), "summary": []})[1] == {}
    foreign = [thought("a"), {"type": "reasoning", "id": "x"}, message("B")]
    assert remember(body, foreign, OWNER) == {}
    sealed = [{**thought("a"), "encrypted_content": seal(Envelope("p", "m", {}))}, message("B")]
    assert len(remember(body, sealed, OWNER)) == 1
    assert remember({"model": "m", "input": "A"}, sealed, OWNER) == {}
    assert remember({"messages": [user("A")]}, sealed, OWNER) == {}


def test_what_another_provider_sealed_is_dropped_and_told() -> None:
    talk, notes = loop(*OWN)
    elsewhere = ask(to=PROVIDERS["responses"], messages=back(plain(talk), notes))
    assert b"gAAA" not in elsewhere.body
    assert "messages[2] (reasoning)" in elsewhere.dropped


def test_reasoning_of_a_chat_upstream_is_kept_in_the_same_form() -> None:
    sealed = seal(Envelope("deepseek", "m", {"reasoning_content": "Look."}))
    talk, notes = [user("A")], {}
    thoughts = [{"type": "reasoning", "id": id, "encrypted_content": sealed} for id in "ab"]
    for number, item in enumerate(thoughts):  # alike, and still two
        asked = {"model": "m", "messages": talk}
        notes |= remember(asked, [item, call("f", f"call_{number}")], OWNER)
        made = {"id": f"call_{number}", "function": {"name": "f"}}
        talk = [*talk, {"role": "assistant", "tool_calls": [made]}, result(f"call_{number}", "B")]
    restored = back(talk, notes)
    assert [restored[n][DETAILS] for n in (1, 3)] == [[detail(item, 0)] for item in thoughts]


def test_reply_is_heard_once_and_before_its_end_is_handed_out() -> None:
    for end, heard in (("completed", 1), ("incomplete", 1), ("failed", 0)):
        taken: Items = []
        body = {"model": "m", "messages": [user("A")], "stream": True}
        crossing = exchange(body, client="chat", way=replace(way(ACCOUNT), heard=taken.append))
        crossing.feed(events_wire(done(thought("a")), done(message("B"))))
        assert not taken
        last = {"type": f"response.{end}", "response": {"status": end}}
        assert crossing.feed(events_wire(last)) and len(taken) == heard
        crossing.feed(b"")
        crossing.cut("late")
        assert taken == [crossing.response] * heard


# Laws


@pytest.mark.parametrize("case", CHATS, ids=str)
def test_message_of_every_case_is_what_its_client_has(case: Case) -> None:
    crossing = case.carry()
    crossing.streaming = True
    chunks = [
        c for c in chunks_of(crossing.feed(case.reply) + crossing.feed(b"")) if "choices" in c
    ]
    if crossing.response["status"] not in ("completed", "incomplete"):
        return
    had, made = fold(chunks)["choices"][0]["message"], reply(crossing.response["output"])
    assert made["content"] == (had["content"] or "")
    assert made["refusal"] == (had["refusal"] or "")
    assert made[DETAILS] == had.get(DETAILS, [])
    if "function_call" in had:
        assert made["tool_calls"][0]["function"] == had["function_call"]
    elif crossing.response["status"] == "completed":
        assert made["tool_calls"] == had.get("tool_calls", [])


@settings(max_examples=100)
@given(st.lists(EVENTS, max_size=6))
def test_any_reply_can_be_remembered(events: Items) -> None:
    crossing = ask()
    crossing.feed(events_wire(*events))
    remember({"model": "m", "messages": [user("A")]}, crossing.response["output"], OWNER)


CONTENT = st.none() | TEXTS | VALUES | st.lists(VALUES, max_size=2)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "x"]) | VALUES},
    optional={
        "content": CONTENT,
        "refusal": CONTENT,
        "tool_calls": st.lists(
            VALUES | st.fixed_dictionaries({"id": TEXTS | VALUES, "function": VALUES}), max_size=2
        ),
        "function_call": VALUES,
        DETAILS: VALUES | st.lists(VALUES, max_size=2),
    },
)


@settings(max_examples=150)
@given(st.lists(MESSAGE | VALUES, max_size=4) | VALUES)
def test_any_body_goes_on(messages: Any) -> None:
    for body in ({"model": "m", "messages": messages}, {"messages": messages}, {}):
        wanted = forgotten(body, OWNER)
        assert not wanted or restored(body, wanted, {}) == body


def test_body_that_is_nested_too_deeply_goes_on() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    body = {"model": "m", "messages": [user([{"type": "x", "x": deep}]), {"role": "assistant"}]}
    assert forgotten(body, OWNER) == {}
    arguments = "[" * 100_000 + "]" * 100_000
    calls = [{"id": "a", "function": {"name": "f", "arguments": arguments}}]
    assert (
        forgotten({"model": "m", "messages": [{"role": "assistant", "tool_calls": calls}]}, "")
        == {}
    )


ARGUMENTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | TEXTS, max_size=2)
WORDS = st.sampled_from(["Yes.", "No.", "Hello, you."]) | TEXTS.filter(str.strip)


@st.composite
def replies(draw: st.DrawFn) -> Items:
    """The items of a reply: thoughts, texts and calls, some of each; not nothing."""
    number = draw(st.uuids()).hex
    thoughts = [thought(f"{number}_{n}") for n in range(draw(st.integers(0, 2)))]
    texts = [message(text) for text in draw(st.lists(WORDS, max_size=2))]
    name = draw(st.sampled_from([number, "call_"]))
    each = enumerate(draw(st.lists(ARGUMENTS, min_size=not texts, max_size=2)))
    calls = [call("f", f"{name}{n}", **arguments) for n, arguments in each]
    first, *rest = [*draw(st.permutations([*texts, *calls]))]
    return [*thoughts[:1], first, *thoughts[1:], *rest]


@st.composite
def conversations(draw: st.DrawFn, begun: tuple[Items, Notes] = ([], {})) -> tuple[Items, Notes]:
    talk, notes = [*begun[0]], {**begun[1]}
    for _ in range(draw(st.integers(1, 4))):
        waiting = talk[-1].get("tool_calls") or [] if talk else []
        talk += [result(one["id"], draw(WORDS)) for one in waiting]
        if not waiting or draw(st.booleans()):
            talk.append(user(draw(WORDS)))
        made, more = answered(talk, *draw(replies()))
        talk, notes = [*talk, made], notes | more
    return talk, notes


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_what_was_left_out_comes_back(made: tuple[Items, Notes]) -> None:
    talk, notes = made
    assert bool(notes) == any(DETAILS in one for one in talk)
    stripped = [{k: v for k, v in one.items() if k != DETAILS} for one in talk]
    assert back(stripped, notes) == talk
    assert sent(back(plain(talk), notes)) == sent(talk)


@settings(max_examples=40, deadline=None)
@given(conversations(), st.data())
def test_what_was_left_out_comes_back_however_it_is_written(
    made: tuple[Items, Notes], data: st.DataObject
) -> None:
    talk, notes = made
    known = kept(plain(talk), notes)
    changes = [
        SAME[name] for name in ("as it is", "parts", "CRLF", "named", "arguments as objects")
    ]
    written = [data.draw(st.sampled_from(changes))(one) for one in plain(talk)]
    assert kept(written, notes) == known


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_was_left_out_of_each_branch_comes_back(data: st.DataObject) -> None:
    begun = data.draw(conversations())
    ends = []
    notes = begun[1]
    for name in "ab":
        waiting = begun[0][-1].get("tool_calls") or []
        results = [result(one["id"], "done") for one in waiting]
        told = [*begun[0], *results, user(f"Now {name}.")]
        talk, notes = data.draw(conversations((told, notes)))
        ends.append(talk)
    for talk in ends:
        assert sent(back(plain(talk), notes)) == sent(talk)
