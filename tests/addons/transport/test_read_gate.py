"""Gates in front of clients that send too early."""

import asyncio
from types import SimpleNamespace

import pytest
from mitmproxy.test import tflow

from addons.transport.read_gate import GatedReader, install_gate, set_reading
from tests.addons.proxy import bounded


async def read_at_once(reader: GatedReader) -> bytes | None:
    """What the reader has, None if it waits."""
    try:
        return await asyncio.wait_for(reader.read(3), 0.05)
    except TimeoutError:
        return None


@bounded
async def test_nothing_is_read_while_the_gate_is_closed() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"abcdef")
    client = tflow.tclient_conn()
    transport = SimpleNamespace(reader=stream)
    install_gate({client.id: SimpleNamespace(transports={client: transport})}, client)
    reader = transport.reader
    assert await read_at_once(reader) == b"abc"
    set_reading(client, False)
    assert await read_at_once(reader) is None
    set_reading(client, True)
    assert await read_at_once(reader) == b"def"


@bounded
async def test_a_read_that_waits_goes_on_when_the_gate_opens() -> None:
    stream, gate = asyncio.StreamReader(), asyncio.Event()
    stream.feed_data(b"abc")
    reading = asyncio.create_task(GatedReader(stream, gate).read(3))
    await asyncio.sleep(0)
    assert not reading.done()
    gate.set()
    assert await reading == b"abc"


@bounded
async def test_a_read_that_waits_can_be_cancelled() -> None:
    reading = asyncio.create_task(GatedReader(asyncio.StreamReader(), asyncio.Event()).read(3))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


def test_a_client_that_is_gone_needs_no_gate() -> None:
    client = tflow.tclient_conn()
    install_gate({}, client)
    install_gate({client.id: SimpleNamespace(transports={})}, client)
    set_reading(client, False)
    set_reading(client, True)
