"""A stream goes on while the relay takes a large request of another client."""

import asyncio

import pytest

from scripts.bench.bystander import longest_waits

LARGE = 30  # MB
# s; generous, as the machine has other work: scripts/bench/bystander.py has the promise of 0.05 s.
LONGEST = 0.25


@pytest.mark.parametrize("name", ["relay", "chat"])
def test_a_bystanders_chunk_does_not_wait_for_a_large_request(name: str) -> None:
    [wait] = asyncio.run(longest_waits(name, (LARGE,)))
    if wait > LONGEST:
        [least] = asyncio.run(longest_waits("mitmdump", (LARGE,)))
        assert wait < 4 * least, f"{wait:.3f} s; with mitmproxy alone {least:.3f} s"
