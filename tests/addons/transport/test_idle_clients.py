"""Which clients are idle; test_client_connections.py has real connections."""

from mitmproxy.test import tflow

from addons.transport.idle_clients import idle_clients, mark_progress, mark_served, mark_waiting

AT_ONCE = -1.0  # s: every client that waits has waited for longer


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
