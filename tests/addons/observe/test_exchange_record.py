"""What is recorded of a Chat client's exchange: when its first token came, what it cost, how it
ended."""

from typing import Any

import pytest

from addons.observe.exchange_record import FACTS
from tests.addons.exchange.test_addon import answered, late, relay
from tests.addons.exchange.test_native_upstreams import completed, tells
from tests.addons.proxy import Call, Handler, bounded
from tests.addons.views.test_chat_clients import Watch, ask
from tests.translate.support import Json, chunk, events_wire
from tests.translate.support import stream as chat

HELLO: Json = {"messages": [{"role": "user", "content": "Hi."}]}
USAGE: Json = {"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 12,
                                  "prompt_tokens_details": {"cached_tokens": 8}}}  # fmt: skip
WAIT = 0.3  # s before and behind the first part
ROLE = chat(chunk(role="assistant", content=""), done=False)
LOOK = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{}"}}
CREATED: Json = {"type": "response.created", "response": {"id": "r", "status": "in_progress"}}
DELTA: Json = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi."}
NATIVE = {"relay_provider": "responses"}


async def recorded(handler: Handler, fields: Json | None = None, **options: Any) -> Json:
    """The record of one exchange."""
    watch = Watch()
    async with relay(handler, and_also=(watch,), **options) as (_, port):
        await ask(port, **(fields or HELLO))
    flow = watch.seen[-1]
    facts: Json = flow.metadata[FACTS]
    assert flow.comment.startswith(facts["model"])
    return facts


SLOW: list[tuple[Handler, dict[str, str]]] = [
    (late(ROLE, chat(chunk(content="Hi."), chunk("stop"))), {}),
    (late(ROLE, chat(chunk(reasoning_content="Hm."), chunk(content="Hi."), chunk("stop"))), {}),
    (late(ROLE, chat(chunk(tool_calls=[LOOK]), chunk("tool_calls"))), {}),
    (late(b": waiting\n\n", chat(chunk(refusal="No."), chunk("stop"))), {}),
    (late(events_wire(CREATED), events_wire(DELTA, completed())), NATIVE),
]


@pytest.mark.parametrize(("handler", "options"), SLOW)
@bounded
async def test_first_token_is_the_first_word_or_call(
    handler: Handler, options: dict[str, str]
) -> None:
    """Neither a heartbeat, nor the head of a stream, nor a chunk that has a role alone."""
    facts = await recorded(handler, relay_heartbeat="0.1", **options)
    assert facts["status"] == "completed"
    assert facts["first_byte"] < 1.9 * WAIT < facts["first_token"] <= facts["seconds"]


@bounded
async def test_where_nothing_is_said_there_is_no_first_token() -> None:
    def silent(call: Call) -> None:
        call.stream(ROLE, chat(chunk("length")))
        call.end()

    facts = await recorded(silent)
    assert (facts["first_token"], facts["status"]) == (None, "incomplete")
    assert facts["first_byte"] is not None


@bounded
async def test_what_a_codex_client_had_said_is_no_token() -> None:
    """Its instructions come back in the stream's first event."""
    watch = Watch()
    handler = late(ROLE, chat(chunk(content="Hi."), chunk("stop")))
    async with relay(handler, and_also=(watch,)) as (_, port):
        await answered(port, instructions='Use df.delta, event: x.delta and "delta":{"content":"a')
    assert watch.seen[0].metadata[FACTS]["first_token"] > 1.9 * WAIT


@pytest.mark.parametrize("streams", [True, False])
@bounded
async def test_cost_calls_and_end_are_known_though_the_client_asks_for_no_usage(
    streams: bool,
) -> None:
    def calls(call: Call) -> None:
        two = [chunk(tool_calls=[{**LOOK, "index": n, "id": f"c{n}"}]) for n in (0, 1)]
        call.stream(chat(*two, chunk("tool_calls"), USAGE))
        call.end()

    facts = await recorded(calls, {**HELLO, "stream": streams, "stream_options": None})
    counted = [facts[name] for name in ("input_tokens", "cached_tokens", "output_tokens", "calls")]
    assert counted == [40, 8, 12, 2]
    assert (facts["status"], facts["estimated"], facts["asked"]) == ("completed", False, "gpt-5.5")
    assert (facts["first_token"] is not None) == streams


@bounded
async def test_account_like_upstream_is_recorded_alike() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "note", "input": "x"}
    usage = {"input_tokens": 40, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 12}
    done = completed(call)
    done["response"]["usage"] = usage
    facts = await recorded(
        tells(CREATED, {"type": "response.output_item.done", "item": call}, done), **NATIVE
    )
    assert (facts["calls"], facts["input_tokens"], facts["output_tokens"]) == (1, 40, 12)
    assert facts["provider"] == "responses"


@bounded
async def test_failure_in_mid_stream_is_recorded() -> None:
    def dies(call: Call) -> None:
        call.stream(chat(chunk(content="Half a sen"), done=False))
        call.cut()

    facts = await recorded(dies, relay_retries="0")
    assert facts["status"] == "failed" and "lost" in facts["error"]
    assert facts["first_token"] is not None
