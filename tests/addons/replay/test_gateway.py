"""Exchanges with an account, looked at and compared: what went up is what would go up today."""

from pathlib import Path

import pytest
from mitmproxy.addons.view import View

from addons.observe.exchange_record import FACTS
from addons.observe.flow_pair import Remember, other
from addons.replay.commands import Replay, both, told
from addons.storage import reasoning_memory as continuity
from addons.views import Views
from tests.addons.accounts.test_gateway import ADA, message
from tests.addons.gateway import HI, gateway
from tests.addons.proxy import bounded
from tests.addons.replay.test_commands import Seen
from tests.addons.views.test_views import view_of
from tests.replies import call, say, think

TOOLS = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]


@pytest.mark.parametrize("stream", [True, False])
@bounded
async def test_nothing_differs_whatever_a_models_name_asks_for(
    stream: bool, tmp_path: Path
) -> None:
    seen, more = Seen(), (View(), Replay(), Remember(), Views())
    options = {"relay_instructions": "Be kind."}
    async with gateway(tmp_path, ADA, more=(*more, seen), **options) as relay:
        relay.backend.reply(think("Hm."), say("Hello"))
        await relay.chat(model="codex-high", stream=stream, stop="x", user="me")
        row = await seen.ended(len(seen.rows))
        assert relay.master.commands.call("relay.diff", [row]) == ["no difference"]
        assert relay.backend.turns[-1].body["reasoning"]["effort"] == "high"
        assert row.metadata[FACTS]["variant"]["effort"] == "high"
        leg = other(row)
        assert leg
        text = view_of(leg.request, leg, "both sides")[1]
        assert "chatgpt instructions, added here\nchatgpt │ Be kind." in text
        text = view_of(row.response, row, "both sides")[1]
        assert "Hello" in text and "response.completed" in text or not stream


@bounded
async def test_reasoning_that_was_put_back_is_put_back_again_or_said_to_be_gone(
    tmp_path: Path,
) -> None:
    seen = Seen()
    async with gateway(tmp_path, ADA, more=(View(), Replay(), Remember(), seen)) as relay:
        relay.backend.reply(think("Hm."), call("ls", path="."))
        made = message(await relay.chat(tools=TOOLS))
        plain = {"role": "assistant", "content": None, "tool_calls": made["tool_calls"]}
        output = {"role": "tool", "tool_call_id": made["tool_calls"][0]["id"], "content": "a"}
        relay.backend.reply(say("Done."))
        await relay.chat(tools=TOOLS, messages=[*HI, plain, output])
        row = await seen.ended(len(seen.rows))
        assert row.metadata[continuity.RESTORED] == 1
        row.metadata[continuity.RESTORED] = 2
        [why] = await told(both([row]))
        assert "cannot be re-checked: it had reasoning put back" in why
        row.metadata[continuity.RESTORED] = 1
        assert await told(both([row])) == ["no difference"]
