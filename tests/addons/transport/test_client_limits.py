"""The limits of clients' connections, and which clients are idle."""

from collections.abc import Iterator

import pytest
from mitmproxy.test import tflow

from addons.transport.client_limits import (
    BodyLimit,
    ClientLimits,
    body_limit,
    client_limits,
    close_client,
    idle_clients,
    limit_body,
    mark_progress,
    mark_served,
    mark_waiting,
    set_client_limits,
)

AT_ONCE = -1.0  # s: whoever waits has waited for longer


@pytest.fixture
def default_limits() -> Iterator[ClientLimits]:
    limits = client_limits()
    yield limits
    set_client_limits(limits)


def test_limits_can_be_set(default_limits: ClientLimits) -> None:
    limits = ClientLimits(head_bytes=7, surplus_bytes=8)
    set_client_limits(limits)
    assert client_limits() == limits != default_limits


def test_a_flow_keeps_its_limit_outside_of_its_saved_state() -> None:
    flow, limit = tflow.tflow(), BodyLimit(5, lambda: None)
    assert body_limit(flow) is None
    limit_body(flow, limit)
    assert body_limit(flow) is limit
    assert "relay_body_limit" not in str(flow.get_state())


def test_clients_are_idle_until_they_are_served() -> None:
    client = tflow.tclient_conn()
    assert client not in idle_clients(AT_ONCE)
    mark_waiting(client)
    assert client in idle_clients(AT_ONCE) and client not in idle_clients(60)
    mark_served(client)
    mark_served(client)
    assert client not in idle_clients(AT_ONCE)
    mark_progress(client)
    assert client in idle_clients(AT_ONCE)


def test_clients_that_are_gone_are_not_idle() -> None:
    before = len(idle_clients(AT_ONCE))
    client = tflow.tclient_conn()
    mark_waiting(client)
    assert len(idle_clients(AT_ONCE)) == before + 1
    del client
    assert len(idle_clients(AT_ONCE)) == before


def test_a_client_without_a_connection_is_only_forgotten() -> None:
    class NoConnections:
        connections: dict[str, object] = {}

    client = tflow.tclient_conn()
    mark_waiting(client)
    close_client(NoConnections(), client)
    assert client not in idle_clients(AT_ONCE)
