"""The key of a conversation: the same in all its turns, another in any other."""

import json
import re
from typing import Any

import pytest

from tests.translate.support import ACCOUNT, PROVIDERS, Json, ask, carry
from translate import BadRequest, decode, session_of

SYSTEM = {"role": "system", "content": "Be."}
USER = {"role": "user", "content": "Hello."}
MORE = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]


def of(*messages: Json, **fields: Any) -> str:
    return session_of({"model": "m", "messages": list(messages), **fields}, "chat")


def test_it_stays_the_same_over_the_turns_and_models() -> None:
    key = of(SYSTEM, USER)
    assert re.fullmatch(r"[0-9a-f]{32}", key)
    assert key == of(SYSTEM, USER, *MORE) == of(SYSTEM, USER, *MORE, model="other", seed=1)
    parts = [{"type": "text", "text": "Hello."}]
    assert key == of(SYSTEM, {**USER, "content": parts})


def test_it_is_another_in_another_conversation() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    keys = {
        of(SYSTEM, USER),
        of(USER),
        of({**SYSTEM, "content": "Be not."}, USER),
        of(SYSTEM, {**USER, "content": "Bye."}),
        of(SYSTEM, {**USER, "content": [picture]}),
        of({"role": "assistant", "content": "Hello."}),
        of(SYSTEM),
    }
    assert len(keys) == 7


def test_the_same_words_are_the_same_conversation_in_either_dialect() -> None:
    said: Json = {"model": "m", "instructions": "Be.", "input": "Hello."}
    item = {"type": "message", "role": "user", "id": "msg_1", "content": "Hello."}
    assert session_of(said, "responses") == of(SYSTEM, USER)
    assert session_of({**said, "input": [item]}, "responses") == of(SYSTEM, USER)
    assert session_of({**said, "input": "More."}, "responses", [item]) == of(SYSTEM, USER)
    developer = {"role": "developer", "content": [{"type": "input_text", "text": "Be."}]}
    assert session_of({**said, "instructions": None, "input": [developer, item]}, "responses")


@pytest.mark.parametrize("content", ["x", ["odd"], [], None, [{"type": "x"}]])
def test_any_content_has_one(content: Any) -> None:
    assert session_of({"model": "m", "input": [{"role": "user", "content": content}]}, "responses")


def test_the_clients_own_key_is_it() -> None:
    assert of(USER, prompt_cache_key="thread-1") == "thread-1"
    long, odd = of(USER, prompt_cache_key="x" * 65), of(USER, prompt_cache_key="ä b")
    assert len({long, odd, of(USER)}) == 3 and len(long) == len(odd) == 32
    assert of(SYSTEM, *MORE, prompt_cache_key="ä b") == odd


def test_the_account_gets_it_in_the_body_and_in_a_header() -> None:
    made = ask(messages=[SYSTEM, USER])
    assert made.session == of(SYSTEM, USER)
    assert decode(made.body)["prompt_cache_key"] == made.session
    assert made.headers == {"session_id": made.session}
    own = carry(to=ACCOUNT, prompt_cache_key="thread-1")
    assert decode(own.body)["prompt_cache_key"] == "thread-1"
    assert own.headers == {"session_id": "thread-1"}
    assert own.response["prompt_cache_key"] == "thread-1"
    assert carry(to=ACCOUNT).response["prompt_cache_key"] is None  # what the client did not say


def test_others_do_not_get_it() -> None:
    made = carry(to=PROVIDERS["openai"])
    assert made.session and made.headers == {}
    assert made.session not in json.dumps(decode(made.body))


def test_what_is_no_request_is_said() -> None:
    with pytest.raises(BadRequest, match="messages"):
        session_of({"model": "m", "messages": 1}, "chat")
