"""A relay, and clients of it on this machine and on its network address."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from addons.demo_provider import DemoProvider
from tests.addons.chain import exchange_addons
from tests.addons.proxy import (
    Client,
    proxy,
)

KEY = "a-client-key"


@asynccontextmanager
async def relay(**options: Any) -> AsyncIterator[int]:
    chain = exchange_addons(DemoProvider())
    async with proxy(*chain, **options) as (_, port):
        yield port


async def status_of(client: Client, target: str, **headers: str) -> int:
    client.send(target, b"", method="GET", **headers)
    await client.head()
    await client.rest()
    return client.answer.status


def own_address() -> str:
    """This machine's address in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine is in no network")
        address: str = probe.getsockname()[0]
        return address
