"""A developer at work: sessions in the form of Codex's or of a Chat client's, which grow, are
compacted, and are begun anew. A few requests are abandoned in mid-stream."""

import asyncio
import contextlib
import json
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2

Json = dict[str, Any]
TURNS = 40  # of a session, until it is compacted
ABANDONED_SHARE = 0.04
TERMINAL_EVENTS = {"response.completed", "response.incomplete", "response.failed", "error"}
TOOL = {
    "type": "function",
    "name": "exec_command",
    "description": "Runs a command. " * 20,
    "parameters": {
        "type": "object",
        "properties": {"cmd": {"type": "string"}},
        "required": ["cmd"],
    },
}
INSTRUCTIONS = "You are a coding agent. Read before you write. " * 200  # about 10 kB
OUTPUT_LINE = "src/module_{}.py: 120 lines, 3 changes\n"


class CompletedResponse(NamedTuple):
    id: str | None = None
    items: Sequence[Json] = ()


@dataclass
class Developer:
    client: httpx2.AsyncClient
    base: str
    outcomes: Counter[str] = field(default_factory=Counter)

    async def work(self, until: float) -> None:
        """Work until the loop's clock shows this time."""
        sessions = (self.codex_session, self.chat_session, self.stored_session)
        clock = asyncio.get_running_loop().time
        while clock() < until:
            session = random.choices(sessions, weights=(6, 2, 2))[0]  # noqa: S311 - no secret
            async for _ in session():
                if clock() >= until:
                    break

    async def codex_session(self) -> AsyncIterator[None]:
        history: list[Json] = [message("developer", INSTRUCTIONS), message("user", "Go on.")]
        for _ in range(TURNS):
            body = self.codex_request(history)
            items = (await self.stream_response(body)).items
            calls = [item for item in items if item["type"] == "function_call"]
            outputs = [tool_output(call["call_id"]) for call in calls]
            history += [*items, *(outputs or [message("user", "And now the next file.")])]
            yield
        compacted = await self.client.post(
            f"{self.base}/responses/compact", json={"model": "soak", "input": history}
        )
        self.outcomes[f"compact {compacted.status_code}"] += 1

    async def stored_session(self) -> AsyncIterator[None]:
        """Each request names the response before it."""
        previous: str | None = None
        for _ in range(TURNS // 4):
            body = self.codex_request([message("user", "Go on.")])
            body |= {"store": True, "previous_response_id": previous, "tools": []}
            previous = (await self.stream_response(body)).id
            yield

    async def chat_session(self) -> AsyncIterator[None]:
        messages: list[Json] = [{"role": "system", "content": INSTRUCTIONS}]
        for _ in range(TURNS // 2):
            messages.append({"role": "user", "content": "Go on. " + OUTPUT_LINE * 40})
            body = {"model": "soak", "stream": True, "messages": messages}
            text = await self.stream_chat(body)
            messages.append({"role": "assistant", "content": text or "(nothing)"})
            yield

    def codex_request(self, history: list[Json]) -> Json:
        return {
            "model": "soak",
            "stream": True,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            "input": history,
            "tools": [TOOL],
            "prompt_cache_key": str(uuid.uuid4()),
        }

    async def stream_response(self, body: Json) -> CompletedResponse:
        """An empty one if it failed or was abandoned."""
        items: list[Json] = []
        endings: list[Json] = []
        async with contextlib.aclosing(self.stream_events("/responses", body)) as events:
            async for event in events:
                if "outcome" in event:
                    self.outcomes[event["outcome"]] += 1
                    return CompletedResponse()
                if event["type"] == "response.output_item.done":
                    items.append(event["item"])
                elif event["type"] in TERMINAL_EVENTS:
                    endings.append(event)
        outcome = " and ".join(event["type"] for event in endings) or "no end"
        self.outcomes[outcome] += 1
        if outcome != "response.completed":
            return CompletedResponse()
        return CompletedResponse(endings[0]["response"]["id"], items)

    async def stream_chat(self, body: Json) -> str:
        pieces: list[str] = []
        async with contextlib.aclosing(self.stream_events("/chat/completions", body)) as events:
            async for event in events:
                if "outcome" in event:
                    self.outcomes[event["outcome"]] += 1
                    return "".join(pieces)
                for choice in event.get("choices", ()):
                    pieces.append(choice["delta"].get("content") or "")
        self.outcomes["chat"] += 1
        return "".join(pieces)

    async def stream_events(self, path: str, body: Json) -> AsyncIterator[Json]:
        """The events of a reply; one with an `outcome` if it was refused or abandoned."""
        patience = random.randrange(1, 40) if random.random() < ABANDONED_SHARE else None  # noqa: S311
        request = self.client.stream("POST", self.base + path, json=body)
        async with request as reply:
            if reply.status_code != 200:
                await reply.aread()
                yield {"outcome": f"status {reply.status_code}"}
                return
            async for line in reply.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line[6:])
                    patience = patience and patience - 1
                    if patience == 0:
                        yield {"outcome": "abandoned"}
                        return


def message(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def tool_output(call_id: str) -> Json:
    lines = random.randrange(5, 200)  # noqa: S311 - no secret
    output = "".join(OUTPUT_LINE.format(number) for number in range(lines))
    return {"type": "function_call_output", "call_id": call_id, "output": output}
