"""An addon that writes the size of the relay's process to a file, one line each second."""

import asyncio
import gc
import json
import os
from pathlib import Path

SAMPLES = "SOAK_SAMPLES"  # the variable with the path of the file
PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


def current_sample() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * PAGE_SIZE / 2**20,  # MB
        "files": len(os.listdir("/proc/self/fd")),
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
    }


class Probe:
    def running(self) -> None:
        self.sampling = asyncio.create_task(write_samples(Path(os.environ[SAMPLES])))

    def done(self) -> None:
        self.sampling.cancel()


async def write_samples(path: Path) -> None:
    while True:
        with path.open("a") as file:
            file.write(json.dumps(current_sample()) + "\n")
        await asyncio.sleep(1)


addons = [Probe()]
