"""The golden folders tests/cases/<provider>/<case>. As a program: rewrites their expected files.

The client sends `request.json`, and the relay must send `upstream.json`. The folder is named after
its provider in providers.toml, or has a `provider.toml` of its own. The upstream replies with
`reply.sse`, `reply.json` (a whole body) or `reply.http` (an error: status, headers, body), and the
client must get `client.sse` or `client.http`. `dropped.txt` lists what must be reported as dropped.

A case may come from somebody else: nothing in it is run or contacted, and nothing outside of its
folder is read or written.
"""

import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.translate.support import PROVIDERS, Json
from translate import (
    Dialect,
    Exchange,
    ExchangeContext,
    Provider,
    WholeReply,
    load_providers,
    start_exchange,
)

FOLDER = Path(__file__).parents[1] / "cases"
EXPECTED = ("upstream.json", "dropped.txt", "client.sse", "client.http")
MAX_FILE_BYTES = 4 << 20


class UnsafeCase(Exception):
    """A file of the case leads out of its folder, is no file, or is too large."""


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
        """The upstream's body with status 200; b"" for an error."""
        files = [self.path / name for name in ("reply.sse", "reply.json")]
        return next((file.read_bytes() for file in files if file.exists()), b"")

    @property
    def model(self) -> str:
        """As the upstream calls it: the client's name, unless that is Codex's default model."""
        requested: str = self.request["model"]
        return f"{self.path.parent.name}-model" if requested == "gpt-5.5" else requested

    @cached_property
    def provider(self) -> Provider:
        """The shipped profile, or that of a `provider.toml` beside the cases."""
        file, name = self.path.parent / "provider.toml", self.path.parent.name
        profiles = load_providers(file.read_text()) if file.exists() else PROVIDERS
        return profiles[name].for_model(self.model)

    def start_exchange(self) -> Exchange:
        context = ExchangeContext(
            provider=self.provider,
            model=self.model,
            response_id="resp_case",
            created_at=1_800_000_000,
        )
        return start_exchange(self.request, client=self.client, context=context)

    def produced_files(self) -> dict[str, bytes]:
        """The expected files as translation produces them now, by name."""
        exchange = self.start_exchange()
        files = {"upstream.json": _pretty(json.loads(exchange.body))}
        if exchange.dropped:
            files["dropped.txt"] = "".join(f"{path}\n" for path in exchange.dropped).encode()
        if (error := self.path / "reply.http").exists():
            head, _, body = error.read_text().partition("\n\n")
            status, *headers = head.splitlines()
            waits = (h.partition(": ")[2] for h in headers if h.startswith("Retry-After"))
            reply = exchange.error_reply(int(status), body.strip().encode(), next(waits, None))
            files["client.http"] = _http(reply)
            if reply.stream_events:
                files["client.sse"] = reply.stream_events
        elif exchange.streaming:
            files["client.sse"] = exchange.feed(self.reply) + exchange.feed(b"")
        else:
            files["client.http"] = _http(exchange.whole_reply(self.reply))
        return files


def find_cases(folder: Path) -> list[Case]:
    """The cases below this folder. Raises UnsafeCase."""
    return [checked_case(note.parent) for note in sorted(folder.glob("*/*/note.md"))]


def checked_case(folder: Path) -> Case:
    """The case in this folder. Raises UnsafeCase."""
    for path in (folder.parent, folder):
        if path.is_symlink():
            raise UnsafeCase(f"{path}: a link, which may lead anywhere")
    provider_file = folder.parent / "provider.toml"
    files = [provider_file] if provider_file.is_symlink() or provider_file.exists() else []
    for file in [*folder.iterdir(), *files]:
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeCase(f"{file}: not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise UnsafeCase(f"{file}: has {status.st_size:,} bytes, of {MAX_FILE_BYTES:,} at most")
    return Case(folder)


ALL_CASES = find_cases(FOLDER)
RESPONSES_CASES = [case for case in ALL_CASES if case.client == "responses"]
CHAT_CASES = [case for case in ALL_CASES if case.client == "chat"]


def _http(reply: WholeReply) -> bytes:
    head = [str(reply.status), *(f"{name}: {value}" for name, value in reply.headers.items())]
    is_json = reply.headers["content-type"] == "application/json"
    body = _pretty(json.loads(reply.body)) if is_json else reply.body
    return "\n".join([*head, "", ""]).encode() + body


def _pretty(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write(cases: Iterable[Case]) -> None:
    for case in cases:
        files = case.produced_files()
        for name in EXPECTED:
            (case.path / name).unlink(missing_ok=True)
            if name in files:
                (case.path / name).write_bytes(files[name])


if __name__ == "__main__":
    write(ALL_CASES)
