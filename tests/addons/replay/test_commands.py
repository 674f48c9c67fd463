"""An exchange again: sent, compared, exported; and a capture that is read by mitmdump."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import ctx
from mitmproxy.addons.view import View
from mitmproxy.exceptions import CommandError
from mitmproxy.http import HTTPFlow

from addons.config.addon import Config
from addons.demo_provider import Demo
from addons.endpoints.codex_calls import Codex
from addons.endpoints.models import Listing
from addons.exchange.addon import Translator
from addons.ingress.access import Guard
from addons.ingress.routes import Routes
from addons.observe.flow_pair import CLIENT, LEG, UPSTREAM, Remember, other
from addons.replay.commands import Replay
from addons.storage.response_store import Store
from addons.transport.relay_stream import Transport
from tests.addons.exchange.test_addon import HELLO, refuses, says, until
from tests.addons.exchange.test_native_upstreams import DONE, completed, tells
from tests.addons.proxy import Answer, Call, Client, Handler, Upstream, bounded, proxy, upstream
from tests.translate.support import chunk, lawful
from tests.translate.support import stream as chat


class Seen:
    """The clients' rows that have ended, in order."""

    def __init__(self) -> None:
        self.rows: list[HTTPFlow] = []
        self.came = asyncio.Condition()

    async def response(self, flow: HTTPFlow) -> None:
        async with self.came:
            self.rows.append(flow)
            self.came.notify_all()

    error = response

    async def ended(self, number: int) -> HTTPFlow:
        async with self.came:
            await self.came.wait_for(lambda: len(self.rows) >= number)
        row = self.rows[number - 1]
        while row.live or ctx.master.commands.call("replay.client.count"):
            await asyncio.sleep(0)  # mitmproxy's own part in it
        return row


@asynccontextmanager
async def relay(
    *handlers: Handler, **options: Any
) -> AsyncIterator[tuple[Upstream, int, Seen, Any]]:
    """The relay before this upstream; its port, the rows it made, and its commands."""
    chain = [
        Config(),
        Transport(),
        Replay(),
        Guard(),
        Routes(),
        Remember(),
        Store(),
        Codex(),
        Listing(),
    ]
    chain += [Translator(), Demo(), View(), seen := Seen()]
    async with upstream(*handlers) as above:
        options.setdefault("relay_upstream", f"http://127.0.0.1:{above.port}/v1")
        async with proxy(*chain, relay_store="off", **options) as (master, port):
            yield above, port, seen, master.commands.call


async def asked(port: int, key: str = "sk-mine", **fields: Any) -> Answer:
    """By Chat where there are messages."""
    path = "/v1/chat/completions" if "messages" in fields else "/v1/responses"
    said = {**HELLO} if path == "/v1/responses" else {"model": "gpt-5.5", "stream": True}
    async with Client.connect(port) as client:
        body = json.dumps({**said, **fields}).encode()
        return await client.ask(path, body, authorization=f"Bearer {key}")


async def exchanged(port: int, seen: Seen, **fields: Any) -> HTTPFlow:
    """The client's row of one exchange."""
    await asked(port, **fields)
    return await seen.ended(len(seen.rows) or 1)


def response_of(flow: HTTPFlow) -> Any:
    assert flow.response
    return lawful(flow.response.content or b"")[-1]["response"]


def shown(flow: HTTPFlow) -> list[Any]:
    state = flow.get_state()
    return [state[name] for name in ("request", "response", "metadata", "comment", "is_replay")]


# relay.resend, and mitmproxy's own replay


@pytest.mark.parametrize("side", [CLIENT, UPSTREAM])
@bounded
async def test_resent_request_is_an_exchange_of_its_own(side: str) -> None:
    async with relay(says(), says("Again."), relay_api_key="k-relay") as (above, port, seen, call):
        first = await exchanged(port, seen)
        row = first if side == CLIENT else other(first)
        before = shown(first)
        call("relay.resend", [row])
        second = await seen.ended(2)
        assert shown(first) == before
    assert second is not first
    assert response_of(second)["output"][0]["content"][0]["text"] == "Again."
    [one, two] = above.seen
    assert one.body == two.body
    assert two.headers["authorization"] == "Bearer k-relay"
    assert first.request.headers["authorization"] == "Bearer sk-mine"
    assert "authorization" not in second.request.headers
    leg = other(second)
    assert leg and leg is not other(first) and leg.metadata[LEG] == UPSTREAM
    assert second.metadata["relay.resent"] == first.id
    assert f"resent from {first.id}" in second.comment


@pytest.mark.parametrize("native", [False, True])
@bounded
async def test_chat_clients_request_is_sent_and_compared_again(native: bool) -> None:
    options = {"relay_provider": "responses"} if native else {}
    handler = tells(completed(DONE)) if native else says()
    async with relay(handler, **options) as (above, port, seen, call):
        first = await exchanged(port, seen, messages=[{"role": "user", "content": "Hello."}])
        call("relay.resend", [first])
        second = await seen.ended(2)
        for row in (first, second, other(first), other(second)):
            assert call("relay.diff", [row]) == ["no difference"]
        call("replay.client", [first])
        declined = await seen.ended(3)
        assert declined is first and first.response
        assert f"relay.resend @{first.id}" in first.response.json()["error"]["message"]
    [one, two] = above.seen
    assert one.body == two.body and one.line == two.line
    assert second.request.path == "/v1/chat/completions"
    text = second.response.text if second.response else ""
    assert text and '"content":"Hi."' in text and text.endswith("data: [DONE]\n\n")


@bounded
async def test_the_users_own_command_needs_no_client_key() -> None:
    options = {"relay_client_key": "k-mine"}
    async with relay(says(), says("Again."), **options) as (above, port, seen, call):
        await asked(port, "k-mine")
        first = await seen.ended(1)
        first.request.headers["authorization"] = "(hidden)"
        call("relay.resend", [first])
        second = await seen.ended(2)
        assert response_of(second)["status"] == "completed"
        # No client gets in by saying so.
        assert (await asked(port, "(hidden)")).status == 401
    assert len(above.seen) == 2


@bounded
async def test_resent_twice_and_resent_from_a_resent_one() -> None:
    async with relay(says()) as (above, port, seen, call):
        first = await exchanged(port, seen)
        call("relay.resend", [first, first])
        await seen.ended(3)
        call("relay.resend", [seen.rows[-1]])
        last = await seen.ended(4)
    assert len(above.seen) == 4
    assert last.metadata["relay.resent"] == seen.rows[2].id
    assert len({flow.id for flow in seen.rows}) == 4


@bounded
async def test_edited_row_goes_up_as_it_is_now() -> None:
    async with relay(says()) as (above, port, seen, call):
        first = await exchanged(port, seen)
        first.request.text = json.dumps({**HELLO, "input": "Something else."})
        call("relay.resend", [first])
        await seen.ended(2)
    assert json.loads(above.seen[1].body)["messages"][-1]["content"] == "Something else."


@bounded
async def test_a_resent_request_that_fails_is_tried_again() -> None:
    async with relay(says(), refuses(503), says("At last.")) as (above, port, seen, call):
        first = await exchanged(port, seen)
        call("relay.resend", [first])
        second = await seen.ended(2)
    assert response_of(second)["output"][0]["content"][0]["text"] == "At last."
    assert len(above.seen) == 3


@bounded
async def test_what_was_refused_can_be_sent_again_when_it_is_mended() -> None:
    async with relay(says()) as (above, port, seen, call):
        first = await exchanged(port, seen, background=True)
        assert first.response and first.response.status_code == 400
        call("replay.client", [first])
        again = await seen.ended(2)
        assert again.response and again.response.status_code == 409
        first.request.text = json.dumps(HELLO)
        call("relay.resend", [first])
        assert response_of(await seen.ended(3))["status"] == "completed"
    assert len(above.seen) == 1


@pytest.mark.parametrize("side", [CLIENT, UPSTREAM])
@pytest.mark.parametrize("times", [1, 2])
@bounded
async def test_mitmproxys_replay_is_declined_in_words(side: str, times: int) -> None:
    """Also that of a row which was resent."""
    async with relay(says()) as (above, port, seen, call):
        row: HTTPFlow | None = await exchanged(port, seen)
        if times == 2:
            call("relay.resend", [row])
            row = await seen.ended(2)
        assert row
        row = row if side == CLIENT else other(row)
        assert row
        call("replay.client", [row])
        declined = await seen.ended(times + 1)
        assert declined is row and row.response
        assert row.response.status_code == 409
        assert f"relay.resend @{row.id}" in row.response.json()["error"]["message"]
        [why] = call("relay.diff", [row])
        assert "cannot be re-checked: its reply is gone" in why
        row.revert()
        assert row.response.status_code == 200
    assert len(above.seen) == times


@bounded
async def test_other_flows_are_replayed_as_ever() -> None:
    other_site = upstream(lambda call: call.reply(body=b"plain"))
    async with other_site as site, relay(says()) as (above, port, seen, call):
        async with Client.connect(port) as client:
            target = f"http://127.0.0.1:{site.port}/any"
            await client.ask(target, host=f"127.0.0.1:{site.port}")
        row = await seen.ended(1)
        with pytest.raises(CommandError, match="no exchange of the relay's"):
            call("relay.resend", [row])
        call("replay.client", [row])
        again = await seen.ended(2)
    assert again.response and again.response.content == b"plain"
    assert len(site.seen) == 2 and not above.seen


# relay.diff


@bounded
async def test_diff_says_that_nothing_differs() -> None:
    async with relay(says()) as (_, port, seen, call):
        row = await exchanged(port, seen)
        for side in (row, other(row)):
            assert call("relay.diff", [side]) == ["no difference"]
        assert call("relay.diff", [row, other(row)]) == ["no difference"]
        call("relay.resend", [row])
        second = await seen.ended(2)
        assert call("relay.diff", [second]) == ["no difference"]
        with pytest.raises(CommandError, match="One exchange is needed, and here are 2"):
            call("relay.diff", [row, second])


@bounded
async def test_diff_shows_todays_settings_against_what_was_sent(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("")
    config = {"relay_config": str(file)}
    async with relay(says(), **config) as (_, port, seen, call):
        row = await exchanged(port, seen, temperature=0.5)
        file.write_text('[providers.generic]\nomits = ["temperature"]')
        ctx.options.update(relay_config=f"{tmp_path}/./relay.toml")
        found = call("relay.diff", [row])
    assert '- "temperature": 0.5,' in found
    assert not [line for line in found if line.startswith("+ ")]


@bounded
async def test_diff_with_pictures_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    from tests.addons.exchange.test_images import image, message, painted, url, written

    async with relay(says()) as (_, port, seen, call):
        shown = message(image(url(written(painted(3000, 10)))))
        row = await exchanged(port, seen, input=[shown])
        caplog.set_level("INFO")
        [first] = call("relay.diff", [row])
        assert "event log" in first
        while "no difference" not in caplog.messages:
            await asyncio.sleep(0.01)


@bounded
async def test_diff_of_an_edited_request() -> None:
    async with relay(says()) as (_, port, seen, call):
        row = await exchanged(port, seen)
        row.request.text = json.dumps({**HELLO, "input": "Something else."})
        found = call("relay.diff", [row])
    assert '+   "content": "Something else."' in found


@bounded
async def test_diff_while_the_reply_comes_is_of_the_request() -> None:
    asked, seen_all = asyncio.Event(), asyncio.Event()
    rows: list[HTTPFlow] = []

    async def handler(call: Call) -> None:
        call.stream(chat(chunk(content="Well, "), done=False))
        asked.set()
        await seen_all.wait()
        call.end()

    class Begun:
        def responseheaders(self, flow: HTTPFlow) -> None:
            rows.append(flow)

    async with relay(handler) as (_, port, _seen, call), Client.connect(port) as client:
        ctx.master.addons.add(Begun())
        client.send("/v1/responses", json.dumps(HELLO).encode())
        await asked.wait()
        await client.head()
        await until(client, b"Well, ")
        assert call("relay.diff", rows) == ["no difference"]
        seen_all.set()
        await client.rest()
