"""What the account's backend is told beyond the client's words, and what it tells beside them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests import backend_replies
from tests.fake_backend import ACCOUNT as NAME
from tests.replies import OPENAI, Reply, say
from tests.translate.support import (
    ACCOUNT,
    PROVIDERS,
    Json,
    ask,
    carry,
    chunks_of,
    events_of,
    way,
)
from translate import BadRequest, decode, exchange

USER = {"role": "user", "content": "Hello."}
OWN = "You are a helpful assistant."


def instructions(*messages: Json, told: str = "", to: Any = ACCOUNT) -> Any:
    body = {"model": "m", "messages": list(messages)}
    made = exchange(body, client="chat", way=replace(way(to), instructions=told))
    return decode(made.body).get("instructions")


def test_there_are_always_instructions_and_none_of_ours_beside_the_clients() -> None:
    assert instructions(USER) == OWN
    assert instructions(USER, told="Be kind.") == "Be kind."
    assert instructions({"role": "system", "content": "Be."}, USER, told="Be kind.") == "Be."
    assert instructions(USER, {"role": "developer", "content": "Be."}, told="Be kind.") == ""
    assert instructions({"role": "system", "content": "Be."}) == ""  # then they are the input
    assert instructions(USER, told="Be kind.", to=PROVIDERS["openai"]) is None
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "Be."}]}
    made = decode(carry(to=ACCOUNT, input=[developer, USER]).body)
    assert (made["instructions"], made["input"][0]["role"]) == ("", "developer")


LIMITS = {"primary": {"used_percent": 12}, "secondary": None}


def test_the_last_word_on_quotas_is_kept_and_told_to_those_who_know_it() -> None:
    told = {"plan_type": "plus", "rate_limits": LIMITS}
    wire = b"".join(backend_replies.stream("m", Reply((say("Hi"),), OPENAI), NAME, told))  # type: ignore[arg-type]  # bytes alone
    codex, chat = carry(to=ACCOUNT), ask()
    assert codex.limits is chat.limits is None
    events = events_of(codex.feed(wire))
    assert codex.limits == {"type": "codex.rate_limits", **told}
    assert [event["type"] for event in events].count("codex.rate_limits") == 1
    chunks = chunks_of(chat.feed(wire))
    assert chat.limits == {"type": "codex.rate_limits", **told}
    assert "rate_limits" not in json.dumps(chunks)


def test_a_search_with_options_is_a_tool() -> None:
    place = {"type": "approximate", "approximate": {"country": "DE"}}
    made = ask(web_search_options={"user_location": place, "search_context_size": None})
    flat = {"type": "approximate", "country": "DE"}
    assert decode(made.body)["tools"] == [{"type": "web_search", "user_location": flat}]
    assert decode(ask(web_search_options={}).body)["tools"] == [{"type": "web_search"}]
    assert ask(web_search_options={}, to=PROVIDERS["responses"]).dropped == ["tools[web_search]"]
    with pytest.raises(BadRequest, match=r"^web_search_options.user_location"):
        ask(web_search_options={"user_location": "here"})


def test_items_of_another_make_are_made_to_fit() -> None:
    given = {"role": "system", "id": "item_1", "content": "Be."}
    made = decode(carry(to=ACCOUNT, input=[given, {**USER, "id": "msg_1"}]).body)["input"]
    assert made == [{"role": "developer", "content": "Be."}, {**USER, "id": "msg_1"}]


def test_calls_and_outputs_that_stand_alone_are_told_in_words() -> None:
    call = {"type": "function_call", "id": "x", "call_id": "c1", "name": "f", "arguments": "{}"}
    custom = {**call, "type": "custom_tool_call", "call_id": "c2", "input": "x"}
    search = {"type": "tool_search_call", "id": "tsc_1", "execution": "server", "arguments": {}}
    output = {"type": "custom_tool_call_output", "call_id": "gone", "output": "42"}
    made = decode(carry(to=ACCOUNT, input=[USER, call, custom, search, output]).body)["input"]
    assert [item.get("type", "message") for item in made] == [
        "message", "function_call", "function_call_output", "custom_tool_call",
        "custom_tool_call_output", "tool_search_call", "message",
    ]  # fmt: skip
    assert "id" not in made[1] and made[5] == search
    assert made[-1]["content"].endswith("gone]\n42")
