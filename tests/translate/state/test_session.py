"""The session key: the same in all turns of a conversation, and different in any other."""

import json
import re
from typing import Any

import pytest

from tests.translate.support import ACCOUNT, PROVIDERS, Json, chat_exchange, responses_exchange
from translate import BadRequest, decode_request, read_session_key

SYSTEM = {"role": "system", "content": "Be."}
USER = {"role": "user", "content": "Hello."}
LATER_TURN = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]


def chat_key(*messages: Json, **fields: Any) -> str:
    return read_session_key({"model": "m", "messages": list(messages), **fields}, "chat")


def test_key_is_the_same_in_all_turns_and_for_all_models() -> None:
    key = chat_key(SYSTEM, USER)
    assert re.fullmatch(r"[0-9a-f]{32}", key)
    assert (
        key
        == chat_key(SYSTEM, USER, *LATER_TURN)
        == chat_key(SYSTEM, USER, *LATER_TURN, model="other", seed=1)
    )
    parts = [{"type": "text", "text": "Hello."}]
    assert key == chat_key(SYSTEM, {**USER, "content": parts})


def test_key_differs_between_conversations() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    keys = {
        chat_key(SYSTEM, USER),
        chat_key(USER),
        chat_key({**SYSTEM, "content": "Be not."}, USER),
        chat_key(SYSTEM, {**USER, "content": "Bye."}),
        chat_key(SYSTEM, {**USER, "content": [picture]}),
        chat_key({"role": "assistant", "content": "Hello."}),
        chat_key(SYSTEM),
    }
    assert len(keys) == 7


def test_key_is_the_same_in_both_dialects() -> None:
    request: Json = {"model": "m", "instructions": "Be.", "input": "Hello."}
    item = {"type": "message", "role": "user", "id": "msg_1", "content": "Hello."}
    assert read_session_key(request, "responses") == chat_key(SYSTEM, USER)
    assert read_session_key({**request, "input": [item]}, "responses") == chat_key(SYSTEM, USER)
    assert read_session_key({**request, "input": "More."}, "responses", [item]) == chat_key(
        SYSTEM, USER
    )
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "Be."}]}
    assert read_session_key(
        {**request, "instructions": None, "input": [developer, item]}, "responses"
    )


@pytest.mark.parametrize("content", ["x", ["odd"], [], None, [{"type": "x"}]])
def test_any_content_has_a_key(content: Any) -> None:
    assert read_session_key(
        {"model": "m", "input": [{"role": "user", "content": content}]}, "responses"
    )


def test_clients_own_key_is_used_where_it_fits() -> None:
    assert chat_key(USER, prompt_cache_key="thread-1") == "thread-1"
    long, odd = chat_key(USER, prompt_cache_key="x" * 65), chat_key(USER, prompt_cache_key="ä b")
    assert len({long, odd, chat_key(USER)}) == 3 and len(long) == len(odd) == 32
    assert chat_key(SYSTEM, *LATER_TURN, prompt_cache_key="ä b") == odd


def test_account_gets_the_key_in_body_and_header() -> None:
    exchange = chat_exchange(messages=[SYSTEM, USER])
    assert exchange.session_key == chat_key(SYSTEM, USER)
    assert decode_request(exchange.body)["prompt_cache_key"] == exchange.session_key
    assert exchange.headers == {"session_id": exchange.session_key}
    with_own_key = responses_exchange(to=ACCOUNT, prompt_cache_key="thread-1")
    assert decode_request(with_own_key.body)["prompt_cache_key"] == "thread-1"
    assert with_own_key.headers == {"session_id": "thread-1"}
    assert with_own_key.response["prompt_cache_key"] == "thread-1"
    assert (
        responses_exchange(to=ACCOUNT).response["prompt_cache_key"] is None
    )  # the client sent none


def test_provider_without_a_session_header_does_not_get_the_key() -> None:
    exchange = responses_exchange(to=PROVIDERS["openai"])
    assert exchange.session_key and exchange.headers == {}
    assert exchange.session_key not in json.dumps(decode_request(exchange.body))


def test_key_of_an_invalid_request_is_an_error() -> None:
    with pytest.raises(BadRequest, match="messages"):
        read_session_key({"model": "m", "messages": 1}, "chat")
