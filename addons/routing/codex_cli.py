"""The user's Codex: its version, which OpenAI's service needs to list models, and its output.

The relay learns the version from Codex's requests, else from the `codex` on PATH.
"""

import asyncio
import re
import shutil

from mitmproxy.http import HTTPFlow

from addons.ingress import is_codex_request

NEWEST_CODEX_VERSION = "0.169.0"  # whose requests the relay knows; counts without a Codex
CODEX_TIMEOUT = 5.0  # s; Codex waits about as long for its catalog
VERSION = re.compile(r"(?<!\d)\d+\.\d+\.\d+")
CODEX_USER_AGENT = re.compile(r"codex[\w -]*/(\d+\.\d+\.\d+)", re.I)

_versions = {"client": "", "installed": ""}


def codex_version() -> str:
    return _versions["client"] or _versions["installed"] or NEWEST_CODEX_VERSION


def learn_codex_version(flow: HTTPFlow) -> None:
    """Remember the version that a request of Codex names; requests of other clients have none."""
    headers = flow.request.headers
    if not is_codex_request(headers):
        return
    agent = CODEX_USER_AGENT.match(headers.get("user-agent", ""))
    parameter = VERSION.fullmatch(flow.request.query.get("client_version", ""))
    if version := (agent and agent[1]) or (parameter and parameter[0]):
        _versions["client"] = version


async def query_installed_version() -> None:
    """Ask the `codex` on PATH for its version."""
    output = (await codex_output("--version")).decode("utf-8", "replace")
    if match := VERSION.search(output):
        _versions["installed"] = match[0]


async def codex_output(*arguments: str) -> bytes:
    """The output of the `codex` on PATH; b"" if there is none or it does not end in time. Never
    raises."""
    if not (program := shutil.which("codex")):
        return b""
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(CODEX_TIMEOUT):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return output
    except (OSError, TimeoutError):
        return b""


class CodexVersion:
    """Keeps `codex_version` up to date."""

    query_task: asyncio.Task[None] | None = None

    def running(self) -> None:
        self.query_task = asyncio.create_task(query_installed_version())

    def requestheaders(self, flow: HTTPFlow) -> None:
        if flow.live and not flow.response:
            learn_codex_version(flow)

    def done(self) -> None:
        if self.query_task:
            self.query_task.cancel()
