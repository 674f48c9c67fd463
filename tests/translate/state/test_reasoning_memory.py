"""Reasoning for Chat clients that do not store it, and for those that store reasoning_details."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.translate.cases import CHAT_CASES, Case
from tests.translate.reply.test_responses_to_chat import COMPLETED
from tests.translate.reply.test_responses_to_responses import EVENTS, done_event, message_item
from tests.translate.support import (
    ACCOUNT,
    PROVIDERS,
    TEXTS,
    VALUES,
    Json,
    chat_exchange,
    chunks_of,
    context_for,
    events_wire,
)
from translate import (
    Envelope,
    Provider,
    insert_reasoning,
    open_envelope,
    read_conversation_keys,
    reasoning_to_remember,
    seal_envelope,
    start_exchange,
)
from translate.mappings.reasoning import REASONING_DETAILS, sealed_detail
from translate.reply.responses_to_chat import fold_chunks
from translate.state.reasoning_memory import reply_message

Items = list[Json]
Notes = dict[str, bytes]
OWNER = "ann"
PLAIN_FIELDS = ("role", "content", "tool_calls", "function_call", "tool_call_id", "name")


def reasoning_item(id: str) -> Json:
    summary = [{"type": "summary_text", "text": f"About {id}."}]
    return {
        "type": "reasoning", "id": f"rs_{id}", "summary": summary,
        "encrypted_content": f"gAAA-{id}",
    }  # fmt: skip


def unique_id(name: str) -> str:
    return f"call_{name:x<24}"


def call(name: str, id: str, **arguments: Any) -> Json:
    text = json.dumps(arguments, separators=(",", ":"))
    return {"type": "function_call", "call_id": id, "name": name, "arguments": text}


def user(text: Any) -> Json:
    return {"role": "user", "content": text}


def tool_message(id: str, text: Any) -> Json:
    return {"role": "tool", "tool_call_id": id, "content": text}


def reply_to(messages: Items, *items: Json, owner: str = OWNER) -> tuple[Json, Notes]:
    """The message of a reply as a client has it, and what the relay remembers."""
    exchange = chat_exchange(messages=messages)
    events = [done_event(item, output_index=n) for n, item in enumerate(items)]
    chunks = [c for c in chunks_of(exchange.feed(events_wire(*events, COMPLETED))) if "id" in c]
    reply = fold_chunks(chunks)["choices"][0]["message"]
    keys = read_conversation_keys({"model": "m", "messages": messages}, owner)
    return reply, reasoning_to_remember(keys, exchange.response["output"])


def without_reasoning(messages: Items) -> Items:
    return [{k: v for k, v in entry.items() if k in PLAIN_FIELDS} for entry in messages]


def restore(messages: Items, notes: Notes, owner: str = OWNER) -> Items:
    """The messages with the remembered reasoning."""
    body = {"model": "m", "messages": messages}
    body = insert_reasoning(body, read_conversation_keys(body, owner).missing, notes)
    restored: Items = body["messages"]
    return restored


def restored_ids(messages: Items, notes: Notes, owner: str = OWNER) -> list[list[str]]:
    """The ids of the reasoning items that each assistant message gets back."""
    restored = restore(messages, notes, owner)
    return [
        [_upstream_id(detail) for detail in message.get(REASONING_DETAILS, ())]
        for message in restored
        if message["role"] == "assistant"
    ]


def _upstream_id(detail: Json) -> str:
    """The upstream's id of a sealed reasoning item."""
    envelope = open_envelope(detail["data"])
    assert envelope
    return str(envelope.payload["item"]["id"])


def sent_body(messages: Items, to: Provider = ACCOUNT) -> bytes:
    return chat_exchange(to=to, messages=messages).body


def tool_loop(first: str, second: str) -> tuple[Items, Notes]:
    """A tool loop: two parallel calls, whose ids begin with `first`, a third call, and a text."""
    messages = [
        {"role": "system", "content": "Today is Monday."},
        user("Weather in Rome and Oslo?"),
    ]
    reply, notes = reply_to(
        messages,
        reasoning_item("a"),
        message_item("I shall look."),
        call("weather", f"{first}1", city="Rome", days=1.0),
        reasoning_item("b"),
        call("weather", f"{first}2", city="Oslo", days=2.5),
    )
    messages = [
        *messages,
        reply,
        tool_message(f"{first}1", "Sunny."),
        tool_message(f"{first}2", '{"c": 5}'),
    ]
    reply, new_notes = reply_to(messages, reasoning_item("c"), call("clock", f"{second}3"))
    messages, notes = [*messages, reply, tool_message(f"{second}3", "12:00")], notes | new_notes
    reply, new_notes = reply_to(
        messages, reasoning_item("d"), message_item("Sunny in Rome."), message_item("Cold in Oslo.")
    )
    return [*messages, reply], notes | new_notes


UNIQUE, COUNTED = (unique_id("a"), unique_id("b")), ("call_", "call_")
with_both_id_forms = pytest.mark.parametrize("names", [UNIQUE, COUNTED], ids=["unique", "counted"])
ALL_IDS = [["rs_a", "rs_b"], ["rs_c"], ["rs_d"]]


@with_both_id_forms
def test_tool_loop_is_sent_as_for_a_client_that_stores_everything(
    names: tuple[str, str],
) -> None:
    talk, notes = tool_loop(*names)
    talk = [*talk, user("Thanks.")]
    assert sent_body(without_reasoning(talk)) != sent_body(talk)
    assert sent_body(restore(without_reasoning(talk), notes)) == sent_body(talk)
    items = json.loads(sent_body(restore(without_reasoning(talk), notes)))["input"]
    kinds = [item.get("id") if item["type"] == "reasoning" else item["type"] for item in items]
    assert kinds == [
        "message", "rs_a", "rs_b", "message", "function_call", "function_call",
        "function_call_output", "function_call_output", "rs_c", "function_call",
        "function_call_output", "rs_d", "message", "message",
    ]  # fmt: skip
    assert items[1] == reasoning_item("a")


def test_each_step_of_a_loop_gets_all_earlier_reasoning() -> None:
    talk, notes = tool_loop(*COUNTED)
    for end, count in ((3, 1), (5, 1), (7, 2), (8, 3)):
        assert restored_ids(without_reasoning(talk[:end]), notes) == ALL_IDS[:count]


def test_client_that_stores_its_details_keeps_its_own() -> None:
    talk, notes = tool_loop(*UNIQUE)
    assert read_conversation_keys({"model": "m", "messages": talk}, OWNER).missing == {}
    assert restore(talk, notes) == talk
    some = [*without_reasoning(talk[:3]), *talk[3:]]
    assert sent_body(restore(some, notes)) == sent_body(talk)


def test_details_of_any_form_are_not_replaced() -> None:
    talk, notes = tool_loop(*COUNTED)
    odd = [{**entry, REASONING_DETAILS: [5, {"data": 5}]} for entry in without_reasoning(talk[:3])]
    assert restore([*odd, *without_reasoning(talk[3:])], notes)[:3] == odd
    assert (
        restored_ids([*without_reasoning(talk[:2]), *without_reasoning(talk[2:])], notes) == ALL_IDS
    )


def test_clients_body_is_not_changed_in_place() -> None:
    talk, notes = tool_loop(*UNIQUE)
    body = {"model": "m", "messages": without_reasoning(talk)}
    original = json.dumps(body)
    insert_reasoning(body, read_conversation_keys(body, OWNER).missing, notes)
    assert json.dumps(body) == original


# Clients write the same history in different forms.
Change = Callable[[Json], Json]


def change_calls(change: Callable[[Json], Json]) -> Change:
    def changed(entry: Json) -> Json:
        calls = [change(call) for call in entry.get("tool_calls") or ()]
        return {**entry, "tool_calls": calls} if calls else entry

    return changed


def rewrite_arguments(arguments: Any) -> Any:
    """As JavaScript writes them: in another order, with spaces, and without the .0 of a number."""
    return json.dumps(dict(reversed(json.loads(arguments).items())), indent=2).replace(".0", "")


def change_arguments(write: Callable[[str], Any]) -> Change:
    return change_calls(
        lambda c: {
            **c,
            "function": {**c["function"], "arguments": write(c["function"]["arguments"])},
        }
    )


SAME_HISTORY: dict[str, Change] = {
    "as it is": lambda entry: entry,
    "parts": lambda entry: {**entry, "content": [{"type": "text", "text": entry["content"] or ""}]},
    "empty text": lambda entry: {**entry, "content": entry["content"] or ""},
    "no text": lambda entry: {k: v for k, v in entry.items() if v is not None},
    "trimmed": lambda entry: {**entry, "content": (entry["content"] or "").strip()},
    "spaced": lambda entry: {**entry, "content": f"\n{entry['content'] or ''} "},
    "CRLF": lambda entry: {**entry, "content": (entry["content"] or "").replace("\n", "\r\n")},
    "other system": lambda entry: (
        entry | ({"content": "Tuesday"} if entry["role"] == "system" else {})
    ),
    "developer": lambda entry: entry | ({"role": "developer"} if entry["role"] == "system" else {}),
    "cached": lambda entry: {
        **entry,
        "content": [
            {"type": "text", "text": entry["content"] or "", "cache_control": {"type": "ephemeral"}}
        ],
    },
    "arguments written anew": change_arguments(rewrite_arguments),
    "arguments as objects": change_arguments(json.loads),
    "calls without type": change_calls(lambda c: {k: v for k, v in c.items() if k != "type"}),
    "named": lambda entry: {**entry, "name": "somebody"},
}


@with_both_id_forms
@pytest.mark.parametrize("change", SAME_HISTORY.values(), ids=SAME_HISTORY)
def test_same_history_in_another_form_gets_its_reasoning(
    change: Change, names: tuple[str, str]
) -> None:
    talk, notes = tool_loop(*names)
    assert restored_ids([change(entry) for entry in without_reasoning(talk)], notes) == ALL_IDS


@with_both_id_forms
def test_clients_may_rewrite_call_ids(names: tuple[str, str]) -> None:
    talk, notes = tool_loop(*names)
    again = change_calls(lambda c: {**c, "id": "new-" + c["id"]})
    assert restored_ids([again(entry) for entry in without_reasoning(talk)], notes) == ALL_IDS


def test_split_parallel_calls_get_their_reasoning_once() -> None:
    talk, notes = tool_loop(*UNIQUE)
    both = without_reasoning(talk)[2]
    first, second = ({**both, "tool_calls": [call]} for call in both["tool_calls"])
    apart = [*talk[:2], first, talk[3], second, talk[4]]
    assert restored_ids(without_reasoning(apart), notes) == [["rs_a", "rs_b"], []]


def test_repeated_message_gets_its_reasoning_once() -> None:
    talk, notes = tool_loop(*UNIQUE)
    assert restored_ids(without_reasoning([*talk[:5], *talk[2:5]]), notes) == [["rs_a", "rs_b"], []]
    assert restored_ids([*talk[:5], *without_reasoning(talk[2:5])], notes) == [["rs_a", "rs_b"], []]


# A different history gets no reasoning.


def test_after_a_change_of_an_earlier_message_only_unique_call_ids_are_found() -> None:
    for names, expected in ((COUNTED, [[], [], []]), (UNIQUE, [["rs_a", "rs_b"], ["rs_c"], []])):
        talk, notes = tool_loop(*names)
        changed = [user("Weather in Paris and Oslo?"), *without_reasoning(talk[2:])]
        assert restored_ids(changed, notes) == expected


def test_after_a_cut_of_the_history_only_unique_call_ids_are_found() -> None:
    for names, expected in ((COUNTED, [[], []]), (UNIQUE, [["rs_c"], []])):
        talk, notes = tool_loop(*names)
        summary = user("We have spoken of the weather.")
        assert restored_ids([summary, *without_reasoning(talk[5:])], notes) == expected
        assert restored_ids(without_reasoning(talk[5:]), notes) == expected


@with_both_id_forms
def test_output_of_a_tool_is_part_of_the_history(names: tuple[str, str]) -> None:
    talk, notes = tool_loop(*names)
    other = [*without_reasoning(talk[:3]), tool_message("x", "Rain."), *without_reasoning(talk[4:])]
    assert restored_ids(other, notes)[0] == ["rs_a", "rs_b"]
    assert restored_ids(other, notes)[2] == []


OTHER_HISTORY: dict[str, Change] = {
    "arguments": change_arguments(
        lambda text: text.replace("Rome", "Bonn").replace("{}", '{"a":1}')
    ),
    "name": change_calls(lambda c: {**c, "function": {**c["function"], "name": "climate"}}),
    "no calls": lambda entry: {k: v for k, v in entry.items() if k != "tool_calls"},
}


@with_both_id_forms
@pytest.mark.parametrize("change", OTHER_HISTORY.values(), ids=OTHER_HISTORY)
def test_another_call_is_another_message(change: Change, names: tuple[str, str]) -> None:
    talk, notes = tool_loop(*names)
    assert restored_ids([change(entry) for entry in without_reasoning(talk)], notes) == [[], [], []]


@pytest.mark.parametrize("text", ["Sunny in Rome.", "Sunny in Rome. Cold in Oslo.", ""])
def test_another_text_is_another_message(text: str) -> None:
    talk, notes = tool_loop(*UNIQUE)
    other = {"role": "assistant", "content": text}
    assert restored_ids([*without_reasoning(talk[:7]), other], notes)[2] == []


def test_branches_do_not_share_reasoning() -> None:
    start, notes = [user("A tale?")], {}
    reply, notes = reply_to(start, reasoning_item("0"), message_item("Once …"))
    start = [*start, reply]
    ends = {}
    for name in ("sad", "merry"):
        messages = [*start, user(f"Make it {name}.")]
        reply, new_notes = reply_to(messages, reasoning_item(name), message_item("So be it."))
        ends[name], notes = [*messages, reply], notes | new_notes
    for name, talk in ends.items():
        assert restored_ids(without_reasoning(talk), notes) == [["rs_0"], [f"rs_{name}"]]


def test_conversations_with_counted_call_ids_do_not_share_reasoning() -> None:
    notes: Notes = {}
    talks = []
    for name in ("one", "two"):
        messages = [user(f"List {name}.")]
        reply, new_notes = reply_to(
            messages, reasoning_item(name), call("list", "functions.list:0")
        )
        talks.append([*messages, reply])
        notes |= new_notes
    assert [restored_ids(without_reasoning(talk), notes) for talk in talks] == [
        [["rs_one"]],
        [["rs_two"]],
    ]


@pytest.mark.parametrize(
    "id",
    [
        "call_AbCdEfGhIjKlMnOpQrStUvWx", "toolu_01A09q90qw90lq917835lq9a", "0" * 32,
        "chatcmpl-tool-2f5c0f0d1f5b4c8f9d5d3a3d2f1e0c9b", "call_00_AbCdEfGhIjKlMnOpQrStUvWx",
        "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "call_1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    ],
)  # fmt: skip
def test_unique_call_ids_are_keys_of_their_own(id: str) -> None:
    talk, notes = reply_to([user("A")], reasoning_item("a"), call("f", id))
    assert len(notes) == 2
    assert restored_ids(without_reasoning([user("B"), talk]), notes) == [["rs_a"]]


@pytest.mark.parametrize(
    "id", ["call_1", "", "0", "functions.listAllFilesAndFolders2:0", "call-listAllFilesAndFolders2"]
)
def test_repeatable_call_ids_are_no_keys(id: str) -> None:
    talk, notes = reply_to([user("A")], reasoning_item("a"), call("listAllFilesAndFolders2", id))
    assert len(notes) == 1
    assert restored_ids(without_reasoning([user("B"), talk]), notes) == [[]]
    assert restored_ids(without_reasoning([user("A"), talk]), notes) == [["rs_a"]]


@with_both_id_forms
def test_owners_do_not_share_reasoning(names: tuple[str, str]) -> None:
    talk, notes = tool_loop(*names)
    for other in ("bob", "", "ann ", '"ann"'):
        assert restored_ids(without_reasoning(talk), notes, other) == [[], [], []]


# Other forms


def test_custom_and_legacy_calls_have_keys() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "note", "input": " a\n{b"}
    reply, notes = reply_to([user("A")], reasoning_item("a"), custom)
    assert restored_ids(without_reasoning([user("A"), reply]), notes) == [["rs_a"]]
    for name, arguments, expected in (("f", " { } ", ["rs_a"]), ("f", "", ["rs_a"]), ("g", "", [])):
        _, notes = reply_to([user("A")], reasoning_item("a"), call("f", unique_id("c")))
        legacy = {"role": "assistant", "function_call": {"name": name, "arguments": arguments}}
        talk = [user("A"), legacy, {"role": "function", "name": "f", "content": "x"}]
        assert restored_ids(talk, notes) == [expected]


def test_refusal_counts_as_text() -> None:
    refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I can't."}]}
    reply, notes = reply_to([user("A")], reasoning_item("a"), refusal)
    assert restored_ids([user("A"), reply | {REASONING_DETAILS: []}], notes) == [["rs_a"]]
    assert restored_ids([user("A"), {"role": "assistant", "content": "I can't."}], notes) == [
        ["rs_a"]
    ]
    part = {"type": "refusal", "refusal": "I can't."}
    assert restored_ids([user("A"), {"role": "assistant", "content": [part]}], notes) == [["rs_a"]]


def image_part(url: str, **fields: Any) -> Json:
    return {"type": "image_url", "image_url": {"url": url}, **fields}


def test_images_count_and_fields_beside_them_do_not() -> None:
    text = {"type": "text", "text": "What is it?"}
    reply, notes = reply_to(
        [user([text, image_part("data:image/png;base64,QQ==")])],
        reasoning_item("a"),
        message_item("A cat."),
    )
    same = user([text, image_part("data:image/png;base64,QQ==", cache_control={"type": "x"})])
    assert restored_ids(without_reasoning([same, reply]), notes) == [["rs_a"]]
    other = user([text, image_part("data:image/png;base64,Qg==")])
    assert restored_ids(without_reasoning([other, reply]), notes) == [[]]
    assert restored_ids(without_reasoning([user("What is it?"), reply]), notes) == [[]]


def test_nothing_is_remembered_that_cannot_be_restored() -> None:
    body = {"model": "m", "messages": [user("A")]}
    assert reply_to([user("A")], message_item("B"))[1] == {}
    assert reply_to([user("A")], {**reasoning_item("a"), "summary": []})[1] == {}
    foreign = [reasoning_item("a"), {"type": "reasoning", "id": "x"}, message_item("B")]
    assert reasoning_to_remember(read_conversation_keys(body, OWNER), foreign) == {}
    sealed = [
        {**reasoning_item("a"), "encrypted_content": seal_envelope(Envelope("p", "m", {}))},
        message_item("B"),
    ]
    assert len(reasoning_to_remember(read_conversation_keys(body, OWNER), sealed)) == 1
    assert (
        reasoning_to_remember(read_conversation_keys({"model": "m", "input": "A"}, OWNER), sealed)
        == {}
    )
    assert (
        reasoning_to_remember(read_conversation_keys({"messages": [user("A")]}, OWNER), sealed)
        == {}
    )


def test_reasoning_that_another_provider_sealed_is_dropped_and_reported() -> None:
    talk, notes = tool_loop(*UNIQUE)
    elsewhere = chat_exchange(
        to=PROVIDERS["responses"], messages=restore(without_reasoning(talk), notes)
    )
    assert b"gAAA" not in elsewhere.body
    assert "messages[2] (reasoning)" in elsewhere.dropped


def test_reasoning_of_a_chat_upstream_is_remembered_in_the_same_form() -> None:
    sealed = seal_envelope(Envelope("deepseek", "m", {"reasoning_content": "Look."}))
    talk, notes = [user("A")], {}
    thoughts = [{"type": "reasoning", "id": id, "encrypted_content": sealed} for id in "ab"]
    for number, item in enumerate(thoughts):  # with the same text, but not the same item
        body = {"model": "m", "messages": talk}
        notes |= reasoning_to_remember(
            read_conversation_keys(body, OWNER), [item, call("f", f"call_{number}")]
        )
        tool_call = {"id": f"call_{number}", "function": {"name": "f"}}
        talk = [
            *talk,
            {"role": "assistant", "tool_calls": [tool_call]},
            tool_message(f"call_{number}", "B"),
        ]
    restored = restore(talk, notes)
    assert [restored[n][REASONING_DETAILS] for n in (1, 3)] == [
        [sealed_detail(item, 0)] for item in thoughts
    ]


def test_reply_is_reported_once_and_before_the_client_gets_its_end() -> None:
    for end, count in (("completed", 1), ("incomplete", 1), ("failed", 0)):
        reported: Items = []
        body = {"model": "m", "messages": [user("A")], "stream": True}
        exchange = start_exchange(
            body,
            client="chat",
            context=replace(context_for(ACCOUNT), on_response_end=reported.append),
        )
        exchange.feed(events_wire(done_event(reasoning_item("a")), done_event(message_item("B"))))
        assert not reported
        last = {"type": f"response.{end}", "response": {"status": end}}
        assert exchange.feed(events_wire(last)) and len(reported) == count
        exchange.feed(b"")
        exchange.interrupt("late")
        assert reported == [exchange.response] * count


# Laws


@pytest.mark.parametrize("case", CHAT_CASES, ids=str)
def test_reply_message_of_every_case_equals_the_clients(case: Case) -> None:
    exchange = case.start_exchange()
    exchange.streaming = True
    chunks = [
        c for c in chunks_of(exchange.feed(case.reply) + exchange.feed(b"")) if "choices" in c
    ]
    if exchange.response["status"] not in ("completed", "incomplete"):
        return
    client_message = fold_chunks(chunks)["choices"][0]["message"]
    message_for_keys = reply_message(exchange.response["output"])
    assert message_for_keys["content"] == (client_message["content"] or "")
    assert message_for_keys["refusal"] == (client_message["refusal"] or "")
    assert message_for_keys[REASONING_DETAILS] == client_message.get(REASONING_DETAILS, [])
    if "function_call" in client_message:
        assert message_for_keys["tool_calls"][0]["function"] == client_message["function_call"]
    elif exchange.response["status"] == "completed":
        assert message_for_keys["tool_calls"] == client_message.get("tool_calls", [])


@settings(max_examples=100)
@given(st.lists(EVENTS, max_size=6))
def test_any_reply_can_be_remembered(events: Items) -> None:
    exchange = chat_exchange()
    exchange.feed(events_wire(*events))
    keys = read_conversation_keys({"model": "m", "messages": [user("A")]}, OWNER)
    reasoning_to_remember(keys, exchange.response["output"])


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
        REASONING_DETAILS: VALUES | st.lists(VALUES, max_size=2),
    },
)


@settings(max_examples=150)
@given(st.lists(MESSAGE | VALUES, max_size=4) | VALUES)
def test_any_body_passes(messages: Any) -> None:
    for body in ({"model": "m", "messages": messages}, {"messages": messages}, {}):
        missing = read_conversation_keys(body, OWNER).missing
        assert not missing or insert_reasoning(body, missing, {}) == body


def test_deeply_nested_body_passes() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    body = {"model": "m", "messages": [user([{"type": "x", "x": deep}]), {"role": "assistant"}]}
    assert read_conversation_keys(body, OWNER).missing == {}


def test_reasoning_before_deeply_nested_arguments_is_remembered() -> None:
    arguments = "[" * 100_000 + "]" * 100_000
    deep_call = {**call("f", "a"), "arguments": arguments}
    envelope = seal_envelope(Envelope("p", "m", {"x": 1}))
    thought = {**reasoning_item("a"), "encrypted_content": envelope}
    keys = read_conversation_keys({"model": "m", "messages": [user("A")]}, OWNER)
    remembered = reasoning_to_remember(keys, [thought, deep_call])
    calls = [{"id": "a", "function": {"name": "f", "arguments": arguments}}]
    messages = [user("A"), {"role": "assistant", "tool_calls": calls}]
    again = read_conversation_keys({"model": "m", "messages": messages}, OWNER)
    assert again.missing == {1: tuple(remembered)} and remembered


ARGUMENTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | TEXTS, max_size=2)
WORDS = st.sampled_from(["Yes.", "No.", "Hello, you."]) | TEXTS.filter(str.strip)


@st.composite
def replies(draw: st.DrawFn) -> Items:
    """The items of a reply: reasoning, and at least one text or call."""
    number = draw(st.uuids()).hex
    thoughts = [reasoning_item(f"{number}_{n}") for n in range(draw(st.integers(0, 2)))]
    texts = [message_item(text) for text in draw(st.lists(WORDS, max_size=2))]
    name = draw(st.sampled_from([number, "call_"]))
    each = enumerate(draw(st.lists(ARGUMENTS, min_size=not texts, max_size=2)))
    calls = [call("f", f"{name}{n}", **arguments) for n, arguments in each]
    first, *rest = [*draw(st.permutations([*texts, *calls]))]
    return [*thoughts[:1], first, *thoughts[1:], *rest]


@st.composite
def conversations(draw: st.DrawFn, start: tuple[Items, Notes] = ([], {})) -> tuple[Items, Notes]:
    talk, notes = [*start[0]], {**start[1]}
    for _ in range(draw(st.integers(1, 4))):
        waiting = talk[-1].get("tool_calls") or [] if talk else []
        talk += [tool_message(tool_call["id"], draw(WORDS)) for tool_call in waiting]
        if not waiting or draw(st.booleans()):
            talk.append(user(draw(WORDS)))
        reply, new_notes = reply_to(talk, *draw(replies()))
        talk, notes = [*talk, reply], notes | new_notes
    return talk, notes


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_omitted_reasoning_is_restored(conversation: tuple[Items, Notes]) -> None:
    talk, notes = conversation
    assert bool(notes) == any(REASONING_DETAILS in message_ for message_ in talk)
    stripped = [{k: v for k, v in message_.items() if k != REASONING_DETAILS} for message_ in talk]
    assert restore(stripped, notes) == talk
    assert sent_body(restore(without_reasoning(talk), notes)) == sent_body(talk)


@settings(max_examples=40, deadline=None)
@given(conversations(), st.data())
def test_omitted_reasoning_is_restored_in_any_form_of_the_history(
    conversation: tuple[Items, Notes], data: st.DataObject
) -> None:
    talk, notes = conversation
    expected = restored_ids(without_reasoning(talk), notes)
    changes = [
        SAME_HISTORY[name]
        for name in ("as it is", "parts", "CRLF", "named", "arguments as objects")
    ]
    rewritten_messages = [
        data.draw(st.sampled_from(changes))(message_) for message_ in without_reasoning(talk)
    ]
    assert restored_ids(rewritten_messages, notes) == expected


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_omitted_reasoning_of_each_branch_is_restored(data: st.DataObject) -> None:
    start = data.draw(conversations())
    ends = []
    notes = start[1]
    for name in "ab":
        waiting = start[0][-1].get("tool_calls") or []
        results = [tool_message(tool_call["id"], "done") for tool_call in waiting]
        messages = [*start[0], *results, user(f"Now {name}.")]
        talk, notes = data.draw(conversations((messages, notes)))
        ends.append(talk)
    for talk in ends:
        assert sent_body(restore(without_reasoning(talk), notes)) == sent_body(talk)
