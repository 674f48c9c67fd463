"""The golden folders of tests/cases/<provider>/<case>; run as a program, writes what they expect.

`request.json` is what the client sends; `upstream.json` what must be sent for it. The
provider is the folder's name in providers.toml, or in a `provider.toml` of the folder's own. Its
answer is `reply.sse`, `reply.json` (a whole body) or `reply.http` (an error: status, headers,
body); `client.sse` and `client.http` are what must come out, `dropped.txt` what is reported lost.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.translate.support import PROVIDERS, Json
from translate import Dialect, Exchange, Provider, Reply, Way, exchange, providers

FOLDER = Path(__file__).parents[1] / "cases"
EXPECTED = ("upstream.json", "dropped.txt", "client.sse", "client.http")


@dataclass(frozen=True)
class Case:
    path: Path

    def __str__(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @cached_property
    def request(self) -> Json:
        request: Json = json.loads((self.path / "request.json").read_text())
        return request

    @property
    def client(self) -> Dialect:
        return "chat" if "messages" in self.request else "responses"

    @property
    def upstream(self) -> Json:
        upstream: Json = json.loads((self.path / "upstream.json").read_text())
        return upstream

    @cached_property
    def reply(self) -> bytes:
        """The body that comes with a 200; an error's is empty."""
        found = [self.path / name for name in ("reply.sse", "reply.json")]
        return next((file.read_bytes() for file in found if file.exists()), b"")

    @property
    def model(self) -> str:
        """The upstream's name: what the client asks for, unless that is Codex's own default."""
        asked: str = self.request["model"]
        return f"{self.path.parent.name}-model" if asked == "gpt-5.5" else asked

    @cached_property
    def provider(self) -> Provider:
        """As shipped, or as a `provider.toml` beside the cases has it."""
        own, name = self.path.parent / "provider.toml", self.path.parent.name
        known = providers(own.read_text()) if own.exists() else PROVIDERS
        return known[name].of(self.model)

    def carry(self) -> Exchange:
        way = Way(provider=self.provider, model=self.model, id="resp_case", now=1_800_000_000)
        return exchange(self.request, client=self.client, way=way)

    def made(self) -> dict[str, bytes]:
        """What translation makes of the case, by file name."""
        crossing = self.carry()
        files = {"upstream.json": _pretty(json.loads(crossing.body))}
        if crossing.dropped:
            files["dropped.txt"] = "".join(f"{what}\n" for what in crossing.dropped).encode()
        if (error := self.path / "reply.http").exists():
            head, _, body = error.read_text().partition("\n\n")
            status, *headers = head.splitlines()
            retry = next((h.partition(": ")[2] for h in headers if h.startswith("Retry")), None)
            reply = crossing.fail(int(status), body.strip().encode(), retry)
            files["client.http"] = _http(reply)
            if reply.event:
                files["client.sse"] = reply.event
        elif crossing.streaming:
            files["client.sse"] = crossing.feed(self.reply) + crossing.feed(b"")
        else:
            files["client.http"] = _http(crossing.whole(self.reply))
        return files


EVERY = [Case(note.parent) for note in sorted(FOLDER.glob("*/*/note.md"))]
CASES = [case for case in EVERY if case.client == "responses"]
CHATS = [case for case in EVERY if case.client == "chat"]


def _http(reply: Reply) -> bytes:
    head = [str(reply.status), *(f"{name}: {value}" for name, value in reply.headers.items())]
    is_json = reply.headers["content-type"] == "application/json"
    body = _pretty(json.loads(reply.body)) if is_json else reply.body
    return "\n".join([*head, "", ""]).encode() + body


def _pretty(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write(cases: Iterable[Case]) -> None:
    for case in cases:
        made = case.made()
        for name in EXPECTED:
            (case.path / name).unlink(missing_ok=True)
            if name in made:
                (case.path / name).write_bytes(made[name])


if __name__ == "__main__":
    write(EVERY)
