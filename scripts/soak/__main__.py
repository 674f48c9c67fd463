"""An eight-hour day of several developers in ten minutes: does the relay's process stay as it was?

    .venv/bin/python -m scripts.soak [--minutes 10] [--developers 4]

A real mitmdump with the relay serves them, before a provider on loopback that fails in every usual
way. The exit code is 1 if memory, open files or tasks of the event loop have grown, if a stream had
no end or two, or if the log has a traceback. It reads /proc, so it needs Linux.
"""

import argparse
import asyncio
import json
import math
import os
import re
import statistics
import sys
import tempfile
from collections import Counter
from pathlib import Path

import httpx2

from addons.launch import start
from scripts.soak.developer import Developer
from scripts.soak.probe import SAMPLES
from scripts.soak.upstream import serve

PROBE = Path(__file__).with_name("probe.py")
LAST_LOOK = 4.0  # s after the last turn, for connections and timers to end
# By how much a figure may grow from the second fifth of the day to its last, and, without
# developers, from the start to the end.
GROWTH_LIMITS = {"memory": 16.0, "files": 8.0, "tasks": 30.0}
IDLE_LIMITS = {"files": 8.0, "tasks": 8.0}
# One end each, and refusals with the upstream's own status once all attempts have failed.
GOOD_OUTCOMES = re.compile(
    r"response\.(completed|incomplete|failed)|abandoned|chat|compact 200"
    r"|(status|compact) (400|429|502|503)"
)


async def run_day(base: str, minutes: float, count: int) -> Counter[str]:
    """How many requests ended in which way."""
    until = asyncio.get_running_loop().time() + minutes * 60
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
        developers = [Developer(client, base) for _ in range(count)]
        await asyncio.gather(*(developer.work(until) for developer in developers))
    await asyncio.sleep(LAST_LOOK)
    return sum((developer.outcomes for developer in developers), Counter())


def find_faults(samples: list[dict[str, float]], outcomes: Counter[str], log: str) -> list[str]:
    """Print the figures and return what is wrong."""
    fifth = max(len(samples) // 5, 1)
    periods = samples[:1], samples[fifth : 2 * fifth] or samples, samples[-2 * fifth : -fifth]
    faults = []
    print(f"{'':10}{'start':>10}{'early':>10}{'late':>10}{'end':>10}")
    for figure in samples[0]:
        start, early, late, end = (
            statistics.median(sample[figure] for sample in period or samples)
            for period in (*periods, samples[-1:])
        )
        print(f"{figure:10}{start:10.0f}{early:10.0f}{late:10.0f}{end:10.0f}")
        if late - early > GROWTH_LIMITS.get(figure, math.inf):
            faults.append(f"{figure} grew from {early:.0f} to {late:.0f}")
        if end - start > IDLE_LIMITS.get(figure, math.inf):
            faults.append(f"{figure}: {end:.0f} are left of {start:.0f} at the start")
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:8}  {outcome}")
        if not GOOD_OUTCOMES.fullmatch(outcome):
            faults.append(f"{count} requests ended with {outcome!r}")
    if "Traceback" in log:
        faults.append("the log has a traceback:\n" + log[log.index("Traceback") :][:2000])
    return faults


async def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--developers", type=int, default=4)
    arguments = parser.parse_args()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=64 << 20)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as folder:
        samples_file = Path(folder, "samples.jsonl")
        environment = os.environ | {SAMPLES: str(samples_file), "XDG_DATA_HOME": folder}
        options = ["-q", "--set", f"confdir={folder}", "-s", str(PROBE)]
        relay = await asyncio.to_thread(
            start,
            upstream=upstream,
            log=Path(folder, "relay.log"),
            arguments=options,
            environment=environment,
            retries="1,5s",
        )
        with relay:
            outcomes = await run_day(relay.url, arguments.minutes, arguments.developers)
        samples = [json.loads(line) for line in samples_file.read_text().splitlines()]
        faults = find_faults(samples, outcomes, relay.log.read_text("utf-8", "replace"))
    server.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
