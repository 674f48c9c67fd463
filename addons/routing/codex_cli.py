"""Which Codex the user has: OpenAI's service lists models by it.

Learnt from the genuine Codex that passes by, else from the one on PATH.
"""

import asyncio
import re

from mitmproxy.http import HTTPFlow

from addons.ingress import routes
from addons.routing import installed

DEFAULT = "0.169.0"  # the last one whose talk we have read; where nobody has a Codex
VERSION = re.compile(r"\d+\.\d+\.\d+")
NAMED = re.compile(r"codex[\w -]*/(\d+\.\d+\.\d+)", re.I)

_seen = {"passing": "", "installed": ""}


def current() -> str:
    return _seen["passing"] or _seen["installed"] or DEFAULT


def learn(flow: HTTPFlow) -> None:
    """From a request of Codex's own."""
    headers = flow.request.headers
    if not routes.from_codex(headers):
        return
    said = NAMED.match(headers.get("user-agent", ""))
    asked = VERSION.fullmatch(flow.request.query.get("client_version", ""))
    if found := (said and said[1]) or (asked and asked[0]):
        _seen["passing"] = found


async def ask() -> None:
    """The `codex` on PATH, once."""
    if found := VERSION.search((await installed.told("--version")).decode("utf-8", "replace")):
        _seen["installed"] = found[0]


class ClientVersion:
    task: asyncio.Task[None] | None = None

    def running(self) -> None:
        self.task = asyncio.create_task(ask())

    def requestheaders(self, flow: HTTPFlow) -> None:
        if flow.live and not flow.response:
            learn(flow)

    def done(self) -> None:
        if self.task:
            self.task.cancel()
