"""The limits of what clients send."""

from collections.abc import Iterator

import pytest
from mitmproxy.test import tflow

from addons.transport.client_limits import (
    BodyLimit,
    ClientLimits,
    body_limit,
    client_limits,
    limit_body,
    set_client_limits,
)


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


def test_a_body_is_admitted_up_to_its_limit_and_while_there_is_room() -> None:
    refused: list[str] = []
    limit = BodyLimit(5, lambda: refused.append("too large"), lambda size: size != 3)
    assert limit.admit_size(5) and limit.admit_size(1) and not limit.admit_size(3)
    assert refused == []
    assert not limit.admit_size(6)
    assert refused == ["too large"]
