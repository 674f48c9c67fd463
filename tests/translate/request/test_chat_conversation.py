"""Request and reply as one Chat conversation; of Chat clients: test_responses_to_chat.py."""

import json

from tests.translate.support import (
    PROVIDERS,
    chunk,
    events_wire,
    responses_exchange,
    stream,
)

CALL = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}


def test_conversation_has_request_and_reply() -> None:
    tools = [{"type": "function", "name": "f"}]
    exchange = responses_exchange(instructions="Be brief.", tools=tools)
    exchange.feed(stream(chunk(tool_calls=[CALL]), chunk("tool_calls")))
    conversation = exchange.chat_conversation()
    assert conversation is not None
    roles = [message["role"] for message in conversation["messages"]]
    assert roles == ["system", "user", "assistant"]
    assert conversation["messages"][-1]["tool_calls"][0]["function"]["name"] == "f"
    assert conversation["tools"] == json.loads(exchange.body)["tools"]


def test_summary_is_no_conversation() -> None:
    items = [{"role": "user", "content": "Hello."}, {"type": "compaction_trigger"}]
    assert responses_exchange(input=items).chat_conversation() is None


def test_what_chat_cannot_say_is_no_conversation() -> None:
    items = [{"role": "user", "content": [{"type": 5}]}]
    exchange = responses_exchange(input=items, to=PROVIDERS["openai"])
    exchange.feed(events_wire({"type": "response.completed", "response": {}}))
    assert exchange.chat_conversation() is None
