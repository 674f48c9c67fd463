"""The Codex on PATH, asked for what it knows."""

import asyncio
import shutil

PATIENCE = 5.0  # s; Codex waits about as long for its catalog


async def told(*arguments: str) -> bytes:
    """What it prints; nothing where there is none, or it does not end in time. Never raises."""
    if not (program := shutil.which("codex")):
        return b""
    try:
        running = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                output, _ = await running.communicate()
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()
        return output
    except (OSError, TimeoutError):
        return b""
